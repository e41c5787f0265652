"""Whatever has become of a file of a finished run, each command that reads it ends right, or with one line."""

import json
import re
from collections.abc import Container, Iterator
from copy import deepcopy
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.rabbit_ko.evaluation.rabbit import Ran
from tests.rabbit_ko.finished_runs import (
    BASE,
    COMMANDS,
    MERGED,
    RESULTS,
    SFT,
    damaged,
    damages,
    forget_files,
    run,
)
from tests.rabbit_ko.publishing.card_folder import EXAMPLES

pytestmark = pytest.mark.hostile

LOADS = ("chat", "eval", "export")
# What a record has checksums of is told by them, whatever it has become.
FEW = ("cut to a half", "an empty object", "a folder")
# Which commands read a file, and of those which must refuse it, whatever it has become.
READ = {
    SFT / "run.json": ("status", "merge", "dpo", "card", "push-model", "results", "gate", "judge", *LOADS),
    **dict.fromkeys(
        (SFT / "adapter_model.safetensors", SFT / "adapter_config.json"), ("status", "merge", "push-model", *LOADS)
    ),
    **dict.fromkeys((SFT / "tokenizer.json", SFT / "tokenizer_config.json"), ("status", "push-model", *LOADS)),
    SFT / "chat_template.jinja": ("status", "chat", "push-model", "export"),
    SFT / "trainer_state.json": ("curves", "status"),
    SFT / "checkpoint-1/checksums.json": ("status",),
    **dict.fromkeys(
        (MERGED / name for name in ("config.json", "model.safetensors", "tokenizer.json", "checksums.json")),
        ("status", "dpo", "push-model", "export"),
    ),
    **dict.fromkeys(
        (BASE / name for name in ("config.json", "generation_config.json", "model.safetensors")),
        ("chat", "merge", "inspect", "plan"),
    ),
    BASE / "tokenizer.json": ("inspect", "plan", "status"),
    RESULTS / "sft/kobest.json": ("results", "gate", "eval"),
    RESULTS / "sft/kobest.samples.jsonl": ("results", "gate"),
    RESULTS / "sft/judge/questions/answers.jsonl": ("judge",),
}

# Of which each field is altered by itself.
FIELDS = {
    SFT / "run.json": ("card", "status"),
    SFT / "adapter_config.json": ("card", "status"),
    SFT / "tokenizer_config.json": ("card",),
    SFT / "trainer_state.json": ("curves",),
}
OTHERS: tuple[Any, ...] = (None, True, 7, -1.5, "x", "\ud800", [], [1], {}, {"x": 1})


def wrong_end(ran: Ran) -> str:
    """Return what is wrong with the end of a command; empty where it is right."""
    errors = re.findall("^error: .*", ran.stderr, re.MULTILINE)
    if ran.exit_code == 0:
        return ""
    if ran.exit_code != 1 or len(errors) != 1 or "Traceback" in ran.stderr or "a fault of this project" in ran.stderr:
        return f"exit {ran.exit_code}: {ran.stderr[-300:]}"
    return ""


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_gets_to_its_long_part_where_nothing_is_damaged(finished: Path, command: str) -> None:
    ran = run(command)
    assert ran.exit_code == 0 or ran.stderr.endswith("error: reached\n"), ran.output


@pytest.mark.parametrize("file", READ, ids=str)
def test_a_damaged_file_ends_a_command_with_one_line(finished: Path, file: Path) -> None:
    """Also where the run is one of an earlier version, whose record has no checksums."""
    has_record = file.is_relative_to(SFT)
    kinds = FEW if has_record else damages(b"")
    wrong = [end for command in READ[file] for end in wrong_ends(file, command, kinds)]
    record = (SFT / "run.json").read_bytes(), (MERGED / "checksums.json").read_bytes()
    try:
        forget_files("sft")
        if file.exists() and has_record:
            wrong += [f"earlier {end}" for command in READ[file] for end in wrong_ends(file, command, damages(b""))]
    finally:
        (SFT / "run.json").write_bytes(record[0])
        (MERGED / "checksums.json").write_bytes(record[1])
    assert not wrong, "\n".join(wrong)


def wrong_ends(file: Path, command: str, kinds: Container[str]) -> Iterator[str]:
    """Yield what is wrong with the ends of a command, by what has happened to a file."""
    found = damages(file.read_bytes())
    for kind, content in ((kind, found[kind]) for kind in found if kind in kinds):
        with damaged(file, content):
            try:
                ran = run(command)
            except BaseException as error:
                yield f"{file} {kind}, {command}: {error!r}"[:400]
                continue
        print(f"{file} {kind}, {command}: {ran.exit_code} {ran.stderr[-250:]}")
        if said := wrong_end(ran):
            yield f"{file} {kind}, {command}: {said}"


@pytest.mark.parametrize("file", FIELDS, ids=str)
def test_a_field_that_is_missing_or_of_another_kind_ends_a_command_with_one_line(
    restored: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    tokenizer = SimpleNamespace(bos_token="<s>", eos_token="</s>")
    monkeypatch.setattr("rabbit_ko.publishing.model_card.load_stage", lambda _: (None, tokenizer))
    monkeypatch.setattr("rabbit_ko.publishing.examples.make_examples", lambda *_: EXAMPLES)
    forget_files("sft")
    wrong = []
    for place, content in altered(json.loads(file.read_bytes())):
        file.write_text(json.dumps(content))
        for command in FIELDS[file]:
            if said := wrong_end(run(command)):
                wrong.append(f"{place}, {command}: {said}")
    assert not wrong, ascii("\n".join(wrong))


def altered(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield JSON without each of its fields in turn, and with a value of another kind there, by what was done."""
    kinds = cycle(OTHERS)
    for place in places(content):
        for kind in ("gone", next(kinds)):
            changed = deepcopy(content)
            within = changed
            for key in place[:-1]:
                within = within[key]
            if kind == "gone":
                del within[place[-1]]
            else:
                within[place[-1]] = kind
            yield f"{'.'.join(map(str, place))} {kind!a}", changed


def places(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of each value within a JSON value, as the keys that lead there."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*above, key)
            yield from places(inner, (*above, key))
