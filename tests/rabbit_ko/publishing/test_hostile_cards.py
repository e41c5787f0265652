"""Whatever names and texts hold, a card has the parts, links and header that it has with harmless ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from dataset_builders.licenses import License
from dataset_builders.manifest import SourceSummary, read_manifest
from rabbit_ko.evaluation.records import Score
from rabbit_ko.evaluation.results.report import render
from rabbit_ko.evaluation.results.table import make_table
from rabbit_ko.publishing.dataset_card import render_card
from rabbit_ko.publishing.examples import Example
from tests.dataset_builders.data_folder import make_data_folder, row, summary, write_shard
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, put_result
from tests.rabbit_ko.publishing.card_folder import CONFIG, card_of, make_card_folder, put_run

pytestmark = pytest.mark.hostile
HARMLESS = "no name on the hub"
HOSTILE = [
    "a | b | c",
    "x\n\n# heading\n",
    "x\r\n# heading",
    "x\u2028# heading",
    "# heading",
    "---\nlicense: mit\n---",
    "key: value # comment",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}{# #}",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- ",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "<http://evil.example/>",
    "[a]: http://evil.example/",
    "``` `` `",
    "```\nfence",
    "~~~~\nfence",
    "**bold** _it_ ~~gone~~",
    "- entry",
    "1. entry",
    "> quote",
    "=====",
    "| --- | --- |",
    "\\",
    "\\| x",
    "&lt;b&gt;",
    "\x1b[31m\x07",
    "\u202eexe.gnp",
]


def parts(tokens: list[Token]) -> Iterator[tuple[Any, ...]]:
    """Yield all of a page but its texts: what they are in, and where links lead."""
    for token in tokens:
        if token.type not in ("text", "text_special", "inline"):
            yield token.type, token.tag, token.info, *token.attrs.items()
        yield from parts(token.children or [])


def structure(card: str) -> list[tuple[Any, ...]]:
    """Return the parts of a card, whose header has to end where it is meant to."""
    body = card.split("\n---\n", 1)[1] if card.startswith("---\n") else card
    return list(parts(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)))


def header_of(card: str) -> Any:
    """Return the YAML in front."""
    return yaml.safe_load(card.removeprefix("---\n").split("\n---\n")[0])


def source(text: str) -> SourceSummary:
    """Describe a source whose every text is this one."""
    free = dict.fromkeys(("name", "path", "subset", "revision", "license_accepted"), text)
    counts: dict[str, Any] = {"rejected": {text: 1}, "reported": {text: 2}, "repeats": 1}
    return summary("sft", License(name=text), **free, **counts)


def dataset_card(folder: Path, text: str) -> str:
    """Render the card of a dataset of such a source, whose first row says the text."""
    manifest = make_data_folder(folder, [source(text)])
    first = row("sft", 0)
    for message in first["messages"]:
        message["content"] = text
    shard = write_shard(folder, "sft/train-00000-of-00001.parquet", [first])
    return render_card(manifest.model_copy(update={"shards": [shard]}), folder, "org/name")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_dataset_card_stays_what_it_is(tmp_path: Path, text: str) -> None:
    harmless, hostile = dataset_card(tmp_path / "a", HARMLESS), dataset_card(tmp_path / "b", text)
    assert structure(hostile) == structure(harmless)
    own = ("license_name",)
    assert header_of(hostile).keys() | own == header_of(harmless).keys() | own
    assert header_of(hostile)["license"] == "other"
    assert "\x1b" not in hostile.split("```diff")[0]
    assert "\u202e" not in hostile.split("```diff")[0]


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "http://x.kr/) <b>", "https://[a](b)"]
)
def test_a_page_that_is_said_to_state_a_license_is_a_link_to_the_web_or_text(tmp_path: Path, address: str) -> None:
    stated = summary("sft", License(name="mine", stated=address))
    card = render_card(make_data_folder(tmp_path, [stated]), tmp_path, "org/name")
    found = [value for kind, *attributes in structure(card) for value in attributes if kind == "link_open"]
    links = [str(value[1]) for value in found if isinstance(value, tuple)]
    assert links
    assert all(link.startswith(("https://", "http://", "#")) for link in links)
    assert not [kind for kind, *_ in structure(card) if "html" in kind or kind == "image"]


def fill_card_folder(text: str) -> None:
    """Write the recipe with runs, data and results whose every free text is this one."""
    make_card_folder("org/base", [source(text), summary("dpo", License(name=text))])
    manifest = read_manifest("data/mine")
    quality = {text: {"action": "report", "bound": text, "list": [{"name": text}]}}
    config = CONFIG | {"system_prompt": text, "quality": quality}
    config["sources"] = [{"source": "koalpaca", "name": text, "add_system_prompt": True, "probability": 0.8}]
    Path("data/mine/manifest.json").write_text(manifest.model_copy(update={"config": config}).to_json())
    device = {"kind": text, "name": text, "processes": 1}
    run = json.loads((MODELS["sft"] / "run.json").read_bytes())["config"]
    settings = run | {"rl": "x", f"x_{text}": text, "optimizer": text}
    put_run(
        "sft",
        "org/base",
        device=device,
        versions={text: text},
        git={"commit": text, "changed": False},
        config=settings,
    )
    score = Score(task=text, metric=text, value=0.5, stderr=0.1, items=8)
    result = put_result("sft", "kobest", [score], notes=[text], data=text)
    other: dict[str, Any] = {text: 1}
    put_result("base", "kobest", [score], **other)
    put_result("sft", "logickor", [Score(task="total", metric="overall", value=5.0, items=8)], judge=text)
    assert result.command


def pages(folder: Path, text: str) -> list[str]:
    """Return the cards of a model and the page of its results, where everything says a text."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fill_card_folder(text)
        cards = [card_of("sft", language, [Example(text, True)] * 2) for language in ("en", "ko")]
        return [*cards, render(make_table("mine"))]


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """These pages, where nothing is hostile."""
    return pages(tmp_path_factory.mktemp("harmless") / "recipe", HARMLESS)


# Each cell and list goes through the same function as those of a dataset card, which has seen them all.
@pytest.mark.parametrize("text", HOSTILE[::3])
def test_a_model_card_and_the_results_stay_what_they_are(tmp_path: Path, text: str, harmless: list[str]) -> None:
    hostile = pages(tmp_path / "recipe", text)
    assert list(map(structure, hostile)) == list(map(structure, harmless))
    assert [header_of(card).keys() for card in hostile[:2]] == [header_of(card).keys() for card in harmless[:2]]
