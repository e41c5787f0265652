"""Break the code in the obvious ways: each time a named test has to fail, or it proves nothing.

The list is the answer to "which test would catch ...?".
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import copy_project, environment

pytestmark = pytest.mark.slow
PROMPT = "tests/prompt_strategies"


@dataclass(frozen=True)
class Mutation:
    """A change to one file, and the test that must notice."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS = [
    Mutation(
        "drop EOS",
        "prompt_strategies/tokens.py",
        "return [[*ids, eos] for ids",
        "return [[*ids] for ids",
        f"{PROMPT}/test_sft.py::test_trained_ids_of_every_sample_decode_to_answer_and_eos",
    ),
    Mutation(
        "train EOS twice",
        "prompt_strategies/tokens.py",
        "return [[*ids, eos] for ids",
        "return [[*ids, eos, eos] for ids",
        f"{PROMPT}/test_sft.py::test_trained_ids_of_every_sample_decode_to_answer_and_eos",
    ),
    Mutation(
        "shift the mask by one, into the answer",
        "prompt_strategies/sft.py",
        "np.where(position < np.repeat(",
        "np.where(position <= np.repeat(",
        f"{PROMPT}/test_sft.py::test_trained_ids_of_every_sample_decode_to_answer_and_eos",
    ),
    Mutation(
        "shift the mask by one, into the prompt",
        "prompt_strategies/sft.py",
        "np.where(position < np.repeat(",
        "np.where(position + 1 < np.repeat(",
        f"{PROMPT}/test_sft.py::test_trained_ids_of_every_sample_decode_to_answer_and_eos",
    ),
    Mutation(
        "add a second BOS",
        "prompt_strategies/tokens.py",
        "return [[*bos, *ids]",
        "return [[*bos, *bos, *ids]",
        f"{PROMPT}/test_sft.py::test_prompt_ids_are_those_of_the_chat_template",
    ),
    Mutation(
        "leave BOS out of DPO where the tokenizer adds none",
        "prompt_strategies/dpo.py",
        'return "" if bos is None or adds_bos(tokenizer) else bos',
        'return ""',
        f"{PROMPT}/test_other_tokenizers.py::test_trl_reads_one_bos_where_the_tokenizer_adds_none",
    ),
    Mutation(
        "tokenize prompt and answer jointly",
        "prompt_strategies/tokens.py",
        "Example(text, ids, answer_ids[index], dropped)",
        "Example(text, ids, tuple(encode_answers(tokenizer, [text + answer])[0][len(ids) - "
        "(tokenizer.bos_token_id is not None):] for answer in answers[index]), dropped)",
        f"{PROMPT}/test_other_tokenizers.py::test_an_answer_that_would_merge_with_the_prompt_is_encoded_apart_in_sft",
    ),
    Mutation(
        "keep pairs that TRL reads differently",
        "prompt_strategies/dpo.py",
        "rows[index] = Dropped.READ_DIFFERENTLY",
        "pass",
        f"{PROMPT}/test_other_tokenizers.py::test_a_pair_whose_answer_would_merge_is_dropped_in_dpo_and_counted",
    ),
    Mutation(
        "parse special tokens in SFT",
        "prompt_strategies/tokens.py",
        "backend.encode_special_tokens = True",
        "backend.encode_special_tokens = False",
        f"{PROMPT}/test_sft.py::test_special_tokens_in_contents_stay_text",
    ),
    Mutation(
        "let special tokens through to TRL",
        "prompt_strategies/dpo.py",
        "== expected",
        "!= []",
        f"{PROMPT}/test_prompt_injection.py::test_hostile_rows_bring_no_control_token_and_no_turn_into_dpo",
    ),
    Mutation(
        "let headings through",
        "prompt_strategies/prompt_injection.py",
        'return sum(map(text.count, "#＃﹟")) >= 3 and',
        "return False and",
        f"{PROMPT}/test_prompt_injection.py::test_hostile_rows_bring_no_control_token_and_no_turn_into_sft",
    ),
    Mutation(
        "let control tokens into the shards",
        "prompt_strategies/prompt_injection.py",
        "and _CONTROL.search(_undisguised(text)):",
        "and False:",
        "tests/dataset_builders/test_prompt_injection.py::test_hostile_questions_and_answers_are_rejected_by_default",
    ),
    Mutation(
        "take turns by their place, whatever their roles",
        "prompt_strategies/tokens.py",
        'if find_order_mistake(messages, last="user") or not all(answers)',
        "if not all(answers)",
        f"{PROMPT}/test_sft.py::test_a_row_with_roles_out_of_order_is_dropped",
    ),
    Mutation(
        "change the template's blank line",
        "prompt_strategies/template.py",
        'question=f"### {question}:\\n{{user}}\\n\\n"',
        'question=f"### {question}:\\n{{user}}\\n"',
        f"{PROMPT}/test_template.py::test_prompt_is_the_golden_text",
    ),
    Mutation(
        "strip nothing",
        "prompt_strategies/template.py",
        'answer: str = message["content"].strip()',
        'answer: str = message["content"]',
        f"{PROMPT}/test_template.py::test_contents_are_stripped_and_braces_in_them_stay",
    ),
    Mutation(
        "cut the answer instead of dropping history",
        "prompt_strategies/tokens.py",
        "elif shorter := without_oldest_exchange(pending[index]):",
        "elif shorter := None:",
        f"{PROMPT}/test_sft.py::test_oldest_exchanges_go_first_and_the_answer_stays_whole",
    ),
    Mutation(
        "meet a stale cache after a change of the template",
        "axolotl_plugins/resume/identity.py",
        "        source_fingerprint(),\n",
        "",
        "tests/axolotl_plugins/test_guard.py::test_prepared_folder_follows_all_that_decides_about_its_rows",
    ),
    Mutation(
        "meet a stale cache after a change of a shard",
        "axolotl_plugins/resume/identity.py",
        "        dataset_fingerprints(cfg),\n",
        "",
        "tests/axolotl_plugins/test_guard.py::test_prepared_folder_follows_all_that_decides_about_its_rows",
    ),
]


def outcome(folder: Path, *tests: str) -> int:
    """Run tests on a copy of the project; returns pytest's exit code, 0 for passed and 1 for failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    shared = str(Path(__file__).parents[2] / "shared")
    variables = environment(PYTHONPATH=str(folder), RABBIT_KO_SHARED=os.environ.get("RABBIT_KO_SHARED", shared))
    return subprocess.run(command, cwd=folder, capture_output=True, env=variables).returncode


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the named tests pass."""
    folder = tmp_path_factory.mktemp("copy")
    copy_project(folder)
    assert outcome(folder, *sorted({mutation.test for mutation in MUTATIONS})) == 0
    return folder


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_the_named_test_fails(copy: Path, mutation: Mutation) -> None:
    file = copy / mutation.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
    file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        assert outcome(copy, mutation.test) == 1
    finally:
        file.write_text(text, encoding="utf-8")
