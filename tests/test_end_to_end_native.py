"""The way of a base in its own format, for real: data with tools, SFT, merge, DPO, chat, evaluation, card, server."""

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_from_disk
from jinja2 import TemplateError
from openai import OpenAI
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from prompt_strategies.messages import Messages, every_answer
from prompt_strategies.native_template import with_fixed_date
from prompt_strategies.sft import IGNORE_INDEX
from rabbit_ko.evaluation.models import encode_chat, generate, load_stage
from rabbit_ko.evaluation.stages import Stage, find_stage
from rabbit_ko.parity.verdict import Verdict
from tests.conftest import VENV, copy_project, run
from tests.parity import check_same, everything, exact, outcomes
from tests.rabbit_ko.evaluation.serving import served

pytestmark = pytest.mark.slow

RUNS = Path("runs/smoke-native")
MERGED = RUNS / "sft/merged"
ROWS = 120
# What makes a stage of KTO, which the recipe does not have, of its DPO.
KTO = (
    ("rl: dpo\n", "rl: kto\nremove_unused_columns: false\n"),
    ("native_dpo", "native_kto"),
    ("smoke-native/dpo/prepared", "smoke-native/kto/prepared"),
    ("output_dir: runs/smoke-native/dpo", "output_dir: runs/smoke-native/kto"),
)
SYSTEM_TURN = "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
TURNS = [
    {"role": "system", "content": "짧게 답하세요."},
    {"role": "user", "content": "하늘은 왜 파란가요?"},
    {"role": "assistant", "content": "빛이 흩어지기 때문입니다."},
    {"role": "user", "content": "노을은요?"},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, in which `make data sft dpo kto RECIPE=smoke-native` has run."""
    folder = tmp_path_factory.mktemp("native")
    copy_project(folder)
    (folder / ".venv").symlink_to(VENV)
    recipe = folder / "axolotl_configs/smoke-native"
    text = (recipe / "dpo.yaml").read_text(encoding="utf-8")
    for old, new in KTO:
        assert old in text
        text = text.replace(old, new)
    (recipe / "kto.yaml").write_text(text, encoding="utf-8")
    run(folder, "make", "data", "sft", "dpo", "kto", "RECIPE=smoke-native")
    return folder


@pytest.fixture
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That copy as working directory."""
    monkeypatch.chdir(trained)
    return trained


@pytest.fixture
def tokenizer(project: Path) -> PreTrainedTokenizerBase:
    """The merged model's tokenizer."""
    return AutoTokenizer.from_pretrained(MERGED)


def run_file(stage: str) -> Any:
    """A stage's `run.json`."""
    return json.loads((RUNS / stage / "run.json").read_text(encoding="utf-8"))


def rendered(tokenizer: PreTrainedTokenizerBase) -> dict[tuple[int, ...], Messages]:
    """Each of the shards' conversations up to each answer, by its ids as the tokenizer's chat template renders it.

    Calls and tools are given as clients give them, the answer without white space around it. Those that the template
    refuses are not among them.
    """
    found: dict[tuple[int, ...], Messages] = {}
    for row in pq.read_table("data/smoke-native/sft").to_pylist():
        tools = json.loads(row["tools"]) if row["tools"] else None
        for *history, answer in every_answer(row["messages"]):
            messages = [*history, {**answer, "content": answer["content"].strip()}]
            given = [
                {key: json.loads(value) if key == "tool_calls" else value for key, value in turn.items() if value}
                for turn in messages
            ]
            with suppress(TemplateError):
                prompt = tokenizer.apply_chat_template(given, tools=tools, return_dict=True)
                found[tuple(prompt["input_ids"])] = messages
    return found


def prepared(stage: str) -> list[dict[str, list[int]]]:
    """The tokens and labels of all rows, as axolotl has prepared them."""
    folders = [file.parent for file in (RUNS / stage / "prepared").glob("*/*/dataset_info.json")]
    return [row for folder in folders for row in load_from_disk(str(folder))]


def trained_texts(tokenizer: PreTrainedTokenizerBase, row: dict[str, list[int]]) -> Iterator[str]:
    """The text of each span of a row that is trained."""
    for is_masked, span in groupby(row["labels"], lambda label: label == IGNORE_INDEX):
        if not is_masked:
            yield tokenizer.decode([*span])


def test_sft_loss_falls_and_dpo_margin_ends_above_zero(project: Path) -> None:
    sft, dpo = run_file("sft"), run_file("dpo")
    assert sft["last_evaluation"]["eval_loss"] < 0.95 * sft["first_evaluation"]["eval_loss"]
    assert dpo["last_evaluation"]["eval_rewards/margins"] > 0


def test_kto_takes_the_same_pairs_as_labelled_answers_and_keeps_one_whose_other_is_dropped(project: Path) -> None:
    dpo, kto = run_file("dpo")["rows"], run_file("kto")["rows"]
    for split in ("train", "test"):
        assert kto[split]["examples"] == 2 * dpo[split]["examples"]
        assert 0 < 2 * dpo[split]["prepared"] <= kto[split]["prepared"]
        assert kto[split]["prepared"] + kto[split]["dropped"] == kto[split]["examples"]
    assert kto["train"]["prepared"] > 2 * dpo["train"]["prepared"]
    assert dpo["test"]["dropped"] == kto["test"]["dropped"] == 0
    assert all(kto["test"][what] == dpo["test"][what] for what in ("tokens", "trained"))


@pytest.mark.parametrize("folder", ["sft", "sft/merged", "dpo", "kto"])
def test_every_stage_saves_the_template_of_the_base_with_one_date(project: Path, folder: str) -> None:
    base = AutoTokenizer.from_pretrained(RUNS / "base").chat_template
    assert "strftime_now" in base
    saved = AutoTokenizer.from_pretrained(RUNS / folder)
    assert saved.chat_template == with_fixed_date(base) != base
    prompt = saved.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    assert prompt.startswith(f"<|begin_of_text|>{SYSTEM_TURN}Today Date: 26 Jul 2024\n\n<|eot_id|>")
    assert run_file(folder.partition("/")[0])["chat_template_date"] == "2024-07-26"


def test_what_was_trained_is_what_the_merged_model_s_tokenizer_renders(
    project: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    conversations, rows = rendered(tokenizer), prepared("sft")
    assert len(rows) == sum(run_file("sft")["rows"][split]["prepared"] for split in ("train", "test"))
    assert [row for row in rows if tuple(row["input_ids"]) not in conversations] == []


def test_every_answer_and_call_is_trained_and_nothing_else(project: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    conversations, calls = rendered(tokenizer), 0
    for row in prepared("sft"):
        answers = [turn for turn in conversations[tuple(row["input_ids"])] if turn["role"] == "assistant"]
        for text, answer in zip(trained_texts(tokenizer, row), answers, strict=True):
            said = text.removesuffix("<|eot_id|>")
            assert said != text
            if answer["tool_calls"]:
                [call] = json.loads(answer["tool_calls"])
                assert json.loads(said) == {
                    "name": call["function"]["name"],
                    "parameters": call["function"]["arguments"],
                }
                calls += 1
            else:
                assert said == answer["content"]
    assert calls > 10


def test_the_merged_model_stops_at_what_ends_a_turn(project: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.eos_token == "<|eot_id|>"
    stops = GenerationConfig.from_pretrained(MERGED).eos_token_id
    assert tokenizer.convert_ids_to_tokens(stops) == ["<|end_of_text|>", "<|eot_id|>"]


def test_chat_answers_and_stops_by_itself(project: Path) -> None:
    results = [
        run(project, "make", "chat", "RECIPE=smoke-native", "STAGE=dpo", "PROMPT=안녕하세요?", f"SEED={seed}")
        for seed in (1, 2, 3)
    ]
    for result in results:
        assert result.stdout.strip()
        assert "<|" not in result.stdout
        assert "[runs/smoke-native/dpo]" in result.stderr
    # What a small model draws differs by the machine that trained it; it mostly ends.
    assert any("[cut after" not in result.stderr for result in results)


def test_a_server_of_the_merged_model_reads_and_says_what_chat_does(
    project: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model, ours = load_stage(Stage("smoke-native", "sft", str(RUNS / "sft")))
    with served(f"transformers serve {MERGED} --port PORT") as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none")
        for messages in ([TURNS[1]], TURNS[1:], TURNS[:2], TURNS):
            [here] = generate(model, ours, [messages], 24)
            given: Any = messages
            there = client.chat.completions.create(model=str(MERGED), messages=given, temperature=0, max_tokens=24)
            prompt = encode_chat(ours, messages)["input_ids"]
            assert prompt == tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
            assert prompt.count(tokenizer.bos_token_id) == 1
            assert there.usage
            assert there.usage.prompt_tokens == len(prompt)
            assert there.choices[0].message.content == here.text


def test_llama_cpp_reads_every_prompt_and_gives_every_answer_as_dpo_left_the_model(project: Path) -> None:
    run(project, ".venv/bin/rabbit", "export", "--recipe", "smoke-native", "--stage", "dpo", "--quant", "f32")
    stage = find_stage("smoke-native", "dpo")
    asked = everything(stage, ROWS)
    assert sum(each.kind in ("test", "train") for each in asked) >= 100
    best, served = outcomes(stage, "gguf", asked, "f32")
    for outcome in (best, served):
        assert outcome.told("ids") == outcome.told("prompt") == outcome.told("count") == (len(asked), len(asked))
    check_same(best)
    assert served.verdict is not Verdict.DIFFERENT, served.why
    run(project, ".venv/bin/rabbit", "export", "--recipe", "smoke-native", "--stage", "dpo", "--quant", "q8_0")
    assert exact(stage, RUNS / "dpo/export/gguf/q8_0/smoke-native-dpo-q8_0.gguf").verdict is Verdict.NEAR
    for against in ("adapter", "merged"):
        check_same(exact(stage, against))


def test_evaluation_asks_in_the_format_of_the_base_for_the_base_too(project: Path) -> None:
    for stage in ("base", "dpo"):
        run(project, "make", "eval", "RECIPE=smoke-native", f"STAGE={stage}", "TASKS=gsm8k_ko", "LIMIT=1")
    results = [json.loads((RUNS / f"eval/{stage}/gsm8k_ko.json").read_text()) for stage in ("base", "dpo")]
    base, dpo = (result["settings"]["prompt"] for result in results)
    assert base == dpo == Stage("smoke-native", "sft", str(RUNS / "sft")).prompt


def test_the_card_says_whose_format_it_is_and_shows_it(project: Path) -> None:
    run(project, "make", "card", "RECIPE=smoke-native", "STAGE=dpo", "LANG=en")
    card = (RUNS / "dpo/README.md").read_text(encoding="utf-8")
    assert "the base model's own chat template" in card
    assert "with 2024-07-26 in the place of the day's date" in " ".join(card.split())
    assert f"\n<|begin_of_text|>{SYSTEM_TURN}Today Date: 26 Jul 2024\n" in card
    assert "### Question:" not in card
