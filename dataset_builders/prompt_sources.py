"""Where the prompts of one's own pairs are from: a pair holds its prompt, and so is under that one's license, too."""

from collections.abc import Container, Iterable
from pathlib import Path

from pydantic import BaseModel

from dataset_builders.manifest import PromptSource, SourceSummary
from dataset_builders.read.files import find_path
from dataset_builders.sources import SOURCES
from rabbit_ko.documents import read_record
from rabbit_ko.storage import is_url

PROMPTS_FILE = "prompts.json"


class PromptSources(BaseModel, extra="forbid"):
    """`prompts.json`, beside the pairs."""

    sources: list[PromptSource]


def prompt_sources(summaries: Iterable[SourceSummary], names: Container[str]) -> list[PromptSource]:
    """Return sources of rows by their names as those of prompts, with those that their own prompts are from."""
    fields = PromptSource.model_fields
    taken = [summary for summary in summaries if summary.name in names]
    return [
        each
        for summary in taken
        for each in (PromptSource(**{name: getattr(summary, name) for name in fields}), *summary.prompt_sources)
    ]


def read_prompt_sources(source: str, path: str) -> list[PromptSource]:
    """Return where the prompts of a source at a path are from, if it says. Raises UserError where that is damaged."""
    if not SOURCES[source].file or is_url(path):
        return []
    file = Path(find_path(path)).with_name(PROMPTS_FILE)
    return read_record(PromptSources, file, "make the pairs again").sources if file.exists() else []
