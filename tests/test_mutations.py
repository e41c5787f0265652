"""Break the code in the obvious ways: each time a named test has to fail, or it proves nothing.

The list is the answer to "which test would catch ...?".
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest

from axolotl_plugins.checks.rows import check_rows
from axolotl_plugins.resume import identity
from prompt_strategies import sft
from prompt_strategies.renderer import HeadingsRenderer
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.tokens import Dropped, Example, encode, encode_answers, encode_prompts
from rabbit_ko.export import _go_template
from tests.attempts import FORKS, finish
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
PROMPT = "tests/prompt_strategies"
GUARD = "tests/axolotl_plugins/test_guard.py"
ROWS = "tests/axolotl_plugins/test_guard_rows.py"
PREFERENCES = "tests/axolotl_plugins/test_guard_preferences.py"
TRAINED = f"{PROMPT}/test_sft.py::test_trained_ids_of_every_sample_decode_to_answer_and_eos"
GO = "tests/rabbit_ko/export/test_go_template.py::test_go_renders_what_jinja_does[qir]"
PREPARED = f"{GUARD}::test_prepared_folder_follows_all_that_decides_about_its_rows"


@dataclass(frozen=True)
class Mutation:
    """What stands in the place of a name of the project, and the test that must notice."""

    name: str
    target: str
    mutant: Any
    test: str


def never(*_: Any, **__: Any) -> None:
    """Find nothing."""


def always(*_: Any, **__: Any) -> bool:
    """Agree."""
    return True


def shift_mask(by: int) -> Callable[[list[Example]], Any]:
    """Lay rows out with a mask that ends so many tokens further on."""
    lay_out = sft.to_columns

    def shifted(examples: list[Example]) -> Any:
        columns = lay_out(examples).to_pydict()
        edges = [len(example.prompt) + by for example in examples]
        columns["labels"] = [
            [IGNORE_INDEX] * edge + ids[edge:] for edge, ids in zip(edges, columns["input_ids"], strict=True)
        ]
        return pa.table(columns)

    return shifted


def encode_jointly(
    renderer: HeadingsRenderer, encode: Any, samples: Any, _encode: Any = HeadingsRenderer._encode
) -> Iterator[Example | Dropped]:
    """Encode prompt and answer as one text, and cut it where the prompt alone would end."""
    for row in _encode(renderer, encode, samples):
        if isinstance(row, Dropped):
            yield row
            continue
        joint = [row.text + text for text in row.answer_texts]
        edge = len(row.prompt) - renderer.has_bos
        yield replace(row, answers=tuple(ids[edge:] for ids in encode_answers(renderer.tokenizer, joint)))


def prepare_regardless_of(name: str) -> Callable[[Any], None]:
    """Name the folder of prepared rows without something that decides about them."""
    set_prepared_path = identity.set_prepared_path

    def forgetful(cfg: Any) -> None:
        with mock.patch.object(identity, name, return_value="the same"):
            set_prepared_path(cfg)

    return forgetful


MUTATIONS = [
    Mutation(
        "drop EOS",
        "prompt_strategies.renderer.encode_answers",
        lambda tokenizer, texts, _: encode(tokenizer, texts),
        TRAINED,
    ),
    Mutation(
        "train EOS twice",
        "prompt_strategies.renderer.encode_answers",
        lambda tokenizer, texts, _: [[*ids, ids[-1]] for ids in encode_answers(tokenizer, texts)],
        TRAINED,
    ),
    Mutation("shift the mask by one, into the answer", "prompt_strategies.sft.to_columns", shift_mask(1), TRAINED),
    Mutation("shift the mask by one, into the prompt", "prompt_strategies.sft.to_columns", shift_mask(-1), TRAINED),
    Mutation(
        "add a second BOS",
        "prompt_strategies.renderer.encode_prompts",
        lambda tokenizer, texts, _: [[ids[0], *ids] for ids in encode_prompts(tokenizer, texts)],
        f"{PROMPT}/test_sft.py::test_prompt_ids_are_those_of_the_chat_template",
    ),
    Mutation(
        "write no BOS for DPO where the tokenizer adds none",
        "prompt_strategies.renderer.written_bos",
        lambda _: "",
        f"{PROMPT}/test_other_tokenizers.py::test_trl_reads_one_bos_where_the_tokenizer_adds_none",
    ),
    Mutation(
        "tokenize prompt and answer jointly",
        "prompt_strategies.renderer.HeadingsRenderer._encode",
        encode_jointly,
        f"{PROMPT}/test_other_tokenizers.py::test_an_answer_that_would_merge_with_the_prompt_is_encoded_apart_in_sft",
    ),
    Mutation(
        "keep pairs that TRL reads differently",
        "prompt_strategies.preferences._is_read_alike",
        always,
        f"{PROMPT}/test_other_tokenizers.py::test_a_pair_whose_answer_would_merge_is_dropped_in_dpo_and_counted",
    ),
    Mutation(
        "let special tokens through to TRL",
        "prompt_strategies.preferences._is_read_alike",
        always,
        f"{PROMPT}/test_prompt_injection.py::test_hostile_rows_bring_no_control_token_and_no_turn_into_dpo",
    ),
    Mutation(
        "parse special tokens in SFT",
        "prompt_strategies.fast_tokenizer.encode",
        lambda tokenizer, texts, before=(), after=(): [
            [*before, *ids, *after] for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        ],
        f"{PROMPT}/test_sft.py::test_special_tokens_in_contents_stay_text",
    ),
    Mutation(
        "let headings through",
        "prompt_strategies.renderer.has_fake_turn",
        never,
        f"{PROMPT}/test_prompt_injection.py::test_hostile_rows_bring_no_control_token_and_no_turn_into_sft",
    ),
    Mutation(
        "let control tokens into the shards",
        "prompt_strategies.prompt_injection._CONTROL",
        re.compile("(?!)"),
        "tests/dataset_builders/test_prompt_injection.py::test_hostile_questions_and_answers_are_rejected_by_default",
    ),
    Mutation(
        "take turns by their place, whatever their roles",
        "prompt_strategies.renderer.find_order_mistake",
        never,
        f"{PROMPT}/test_sft.py::test_a_row_with_roles_out_of_order_is_dropped",
    ),
    Mutation(
        "change the template's blank line",
        "prompt_strategies.template.Template.question",
        property(lambda template: vars(template)["question"].removesuffix("\n")),
        f"{PROMPT}/test_template.py::test_prompt_is_the_golden_text",
    ),
    Mutation(
        "strip nothing",
        "prompt_strategies.template.render_answer",
        lambda message: message["content"],
        f"{PROMPT}/test_template.py::test_contents_are_stripped_and_braces_in_them_stay",
    ),
    Mutation(
        "drop the row instead of its history",
        "prompt_strategies.tokens.without_oldest_exchange",
        never,
        f"{PROMPT}/test_sft.py::test_oldest_exchanges_go_first_and_the_answer_stays_whole",
    ),
    Mutation(
        "let SimPO have CPO's likelihood term",
        "axolotl_plugins.guard.set_defaults",
        never,
        f"{PREFERENCES}::test_simpo_has_no_likelihood_term_unless_it_is_asked_for",
    ),
    Mutation(
        "compare an answer of KTO with itself",
        "axolotl_plugins.kto._with_other_answer",
        lambda rows: rows,
        "tests/axolotl_plugins/test_kto.py::test_no_answer_is_compared_with_itself",
    ),
    Mutation(
        "let one process have one answer of KTO",
        "axolotl_plugins.guard.check_neighbours",
        never,
        f"{PREFERENCES}::test_processes_that_would_have_one_answer_each_in_kto_are_refused",
    ),
    Mutation(
        "train into any folder",
        "axolotl_plugins.guard.check_output_dir",
        never,
        f"{GUARD}::test_a_folder_that_is_not_the_stages_own_is_refused",
    ),
    Mutation(
        "train where a run is going on",
        "axolotl_plugins.guard.hold",
        never,
        f"{ROWS}::test_a_run_that_is_going_on_is_not_disturbed",
    ),
    Mutation(
        "check a sample of rows that were just prepared",
        "axolotl_plugins.guard.check_rows",
        lambda cfg, tokenizer, split, rows, count, _: check_rows(cfg, tokenizer, split, rows, count, False),
        f"{ROWS}::test_all_rows_are_checked_once_and_then_a_sample",
    ),
    Mutation(
        "meet a stale cache after a change of the template",
        "axolotl_plugins.resume.identity.set_prepared_path",
        prepare_regardless_of("source_fingerprint"),
        PREPARED,
    ),
    Mutation(
        "meet a stale cache after a change of a shard",
        "axolotl_plugins.resume.identity.set_prepared_path",
        prepare_regardless_of("dataset_fingerprints"),
        PREPARED,
    ),
    Mutation(
        "lose a line's end in the Go template",
        "rabbit_ko.export._go_template._text",
        lambda text: f"{{{{ {_go_template._string(text.removesuffix(chr(10)))} }}}}",
        GO,
    ),
    Mutation(
        "take a blank system message for one in Go",
        "rabbit_ko.export._go_template._told",
        lambda _: _go_template._TOLD_BY_TEXT,
        GO,
    ),
    Mutation(
        "merge into files that older readers refuse",
        "rabbit_ko.training.run.make_portable",
        never,
        "tests/rabbit_ko/training/test_run.py"
        "::test_a_merged_model_is_one_that_older_readers_take_and_its_checksums_are_those",
    ),
    Mutation(
        "save what older readers refuse",
        "axolotl_plugins.guard.make_portable",
        never,
        "tests/axolotl_plugins/test_run_file.py::test_older_readers_take_what_a_run_saves_and_its_checksums_are_those",
    ),
]


def outcome(log: Path, number: int | None = None) -> int:
    """Return the exit code of pytest for a mutation and its test, or for all the tests on the code as it is."""
    process = FORKS.Process(target=_run, args=(log, number))
    process.start()
    return finish(process)


def _run(log: Path, number: int | None) -> None:
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(ROOT)
    mutations = MUTATIONS if number is None else MUTATIONS[number : number + 1]
    with pytest.MonkeyPatch.context() as patch:
        if number is not None:
            patch.setattr(MUTATIONS[number].target, MUTATIONS[number].mutant, raising=False)
        tests = sorted({mutation.test for mutation in mutations})
        os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]))


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The named tests pass on the code as it is."""
    log = tmp_path_factory.mktemp("unchanged") / "log"
    assert outcome(log) == pytest.ExitCode.OK, log.read_text(encoding="utf-8")[-4_000:]


@pytest.mark.usefixtures("passing")
@pytest.mark.parametrize("number", range(len(MUTATIONS)), ids=[it.name.replace(" ", "-") for it in MUTATIONS])
def test_the_named_test_fails(number: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert outcome(log, number) == pytest.ExitCode.TESTS_FAILED, log.read_text(encoding="utf-8")[-4_000:]
