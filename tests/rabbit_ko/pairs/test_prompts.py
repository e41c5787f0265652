"""Prompts are train rows' or sources', each once, drawn by their ids, and every row is one or counted."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dataset_builders.build import build
from dataset_builders.recipe import DataConfig, SourceConfig, load_config
from dataset_builders.rows import Conversation, Message, Preference, Row, assistant, user
from dataset_builders.verify import verify
from rabbit_ko.errors import UserError
from rabbit_ko.pairs.config import read_pairs_config
from rabbit_ko.pairs.prompts import NOT_PLAIN, OVER_MAX, SAME, TESTED, Prompts, draw_prompts, find_prompts
from rabbit_ko.recipes import Recipe
from tests.rabbit_ko.pairs.making import make, write_config

DATA = DataConfig(sources=[SourceConfig(source="messages", path="rows.jsonl")], system_prompt="친절하세요.")


def row(id: str, question: str, answer: str = "답", system: str = "") -> Conversation:
    """Make a conversation of one exchange."""
    first: list[Message] = [{"role": "system", "content": system}] if system else []
    return Conversation(id, "s", [*first, user(question), assistant(answer)])


def test_prompts_that_say_the_same_are_taken_once_whichever_has_the_recipe_s_system_prompt() -> None:
    rows: list[Row] = [
        row("1", "가"),
        row("2", "가", system="친절하세요."),
        row("3", "가", system="짧게."),
        row("4", "나"),
    ]
    found = draw_prompts(rows, None, DATA)
    assert {prompt.id for prompt in found.taken} in ({"1", "3", "4"}, {"2", "3", "4"})
    assert found.dropped == {SAME: 1}


def test_no_order_changes_what_is_drawn_and_fewer_are_the_first_of_more() -> None:
    rows: list[Row] = [row(str(number), f"질문 {number % 40}") for number in range(60)]
    found = draw_prompts(rows, None, DATA)
    assert draw_prompts(random.Random(1).sample(rows, len(rows)), None, DATA) == found
    few = draw_prompts(rows, 10, DATA)
    assert few.taken == found.taken[:10]
    assert few.dropped == {SAME: 20, OVER_MAX: 30}
    assert draw_prompts(rows, None, DATA.model_copy(update={"seed": 1})).taken != found.taken


def test_the_reference_is_the_answer_of_a_conversation_and_no_answer_of_a_pair() -> None:
    pair = Preference("2", "s", [user("나")], [assistant("좋은 답")], [assistant("나쁜 답")])
    found = draw_prompts([row("1", "가", "정답"), pair], None, DATA)
    assert {prompt.id: (prompt.messages, prompt.reference) for prompt in found.taken} == {
        "1": ([user("가")], "정답"),
        "2": ([user("나")], ""),
    }


def test_answers_that_are_context_alone_are_asked_without_their_weight() -> None:
    turns: list[Message] = [user("가"), {**assistant("나"), "weight": 0}, user("다"), assistant("라")]
    [prompt] = draw_prompts([Conversation("1", "s", turns)], None, DATA).taken
    assert prompt.messages == [user("가"), assistant("나"), user("다")]


def test_what_needs_tools_or_has_reasoning_before_the_question_is_counted() -> None:
    thought: Message = {**assistant("나"), "reasoning_content": "생각"}
    rows: list[Row] = [
        Conversation("1", "s", [user("가"), assistant("나")], tools="[]"),
        Conversation("2", "s", [user("가"), thought, user("다"), assistant("라")]),
        Conversation("3", "s", [user("가"), thought]),
    ]
    found = draw_prompts(rows, None, DATA)
    assert ([prompt.id for prompt in found.taken], found.dropped) == (["3"], {NOT_PLAIN: 2})


def found(**prompts: Any) -> Prompts:
    """Return the prompts by a config."""
    write_config(prompts=prompts)
    recipe = Recipe("smoke")
    return find_prompts(recipe, read_pairs_config(recipe).prompts, load_config(recipe.data_config))


@pytest.mark.usefixtures("recipe")
def test_the_recipe_s_own_prompts_are_those_of_train_rows_and_no_others() -> None:
    some = found(max_prompts=None)
    train = pq.read_table("data/smoke/sft/train-00000-of-00001.parquet").to_pylist()
    assert {prompt.id for prompt in some.taken} <= {row["id"] for row in train}
    assert len(some.taken) + some.dropped.total() == len(train)


def questions(kind: str, split: str, name: str = "prompt") -> list[list[Message]]:
    """Return what is asked in the recipe's rows of a kind and a split."""
    rows = pq.read_table(f"data/smoke/{kind}/{split}-00000-of-00001.parquet").to_pylist()
    return [row["messages"][:-1] if kind == "sft" else row[name] for row in rows]


def ask(asked: list[list[Message]]) -> Prompts:
    """Return the prompts where these are those of a file."""
    lines = [{"messages": messages} for messages in asked]
    Path("mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return found(max_prompts=None, sources=[{"source": "prompts", "path": "mine.jsonl", "language": "en"}])


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_no_prompt_of_a_file_is_one_that_the_recipe_tests(kind: str) -> None:
    tests, free = questions(kind, "test"), [user("가장 높은 산은 무엇인가요?")]
    system: Message = {"role": "system", "content": load_config(Recipe("smoke").data_config).system_prompt}
    turned = [turns[1:] if turns[0] == system else [system, *turns] for turns in tests]
    some = ask([*tests, *turned, free])
    assert [prompt.messages for prompt in some.taken] == [free]
    assert some.dropped == {TESTED: verify("data/pairs/smoke/prompts").sources[0].kept - 1}
    assert len(tests) > 2
    assert some.dropped[TESTED] >= len(tests)


@pytest.mark.usefixtures("recipe")
def test_pairs_among_the_recipe_s_data_make_no_prompt_a_tested_one_and_so_are_not_out_of_date_by_themselves() -> None:
    config = Path("axolotl_configs/smoke/data.yaml")
    own = "  - {source: own_pairs, path: 'data/pairs/{recipe}/base'}\n"
    make()
    config.write_text(config.read_text().rstrip() + "\n" + own)
    build(load_config(config), Path("data/smoke"))
    assert questions("dpo", "test")
    assert not make()[1]


def write_policy(policy: str) -> None:
    """Write a license policy, which allows all that is in the recipe's data."""
    config = Path("axolotl_configs/smoke/data.yaml")
    config.write_text(config.read_text().rstrip() + f"\nlicense_policy: {policy}\n")


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("is_stand_in", [False, True])
@pytest.mark.parametrize(
    ("stated", "line"),
    [
        ({"path": "maywell/ko_Ultrafeedback_binarized"}, r"forbids commercial use \(non-commercial.*\)"),
        ({"path": "mine.jsonl", "license": "CC-BY-NC-4.0"}, r"forbids commercial use \(CC-BY-NC-4.0\)"),
        ({"path": "mine.jsonl"}, "states no license"),
    ],
)
def test_the_recipe_s_license_policy_holds_for_sources_of_prompts(
    stated: dict[str, str], line: str, is_stand_in: bool
) -> None:
    entry = {"source": "ko_ultrafeedback", **stated}
    given = {"source": "own_pairs", "path": "data/none", "license": "MIT", "otherwise": entry}
    sources = [given if is_stand_in else entry]
    write_config(prompts={"sources": sources})
    read_pairs_config(Recipe("smoke"))
    write_policy("commercial")
    said = f"smoke/pairs.yaml: prompts: `license_policy: commercial` refuses `ko_ultrafeedback`, which {line}; remove"
    with pytest.raises(UserError, match=said):
        make()
    entry["license_accepted"] = "they said yes"
    write_config(prompts={"sources": sources})
    read_pairs_config(Recipe("smoke"))


@pytest.mark.usefixtures("recipe")
def test_sources_of_prompts_have_names_and_shares_that_data_yaml_could_have() -> None:
    entry = {"source": "prompts", "path": "mine.jsonl"}
    for sources, line in (
        ([entry, entry], "two sources are called `prompts`"),
        ([{**entry, "share": 0.5}], "`prompts` is the only kto source"),
    ):
        write_config(prompts={"sources": sources})
        with pytest.raises(UserError, match=line):
            read_pairs_config(Recipe("smoke"))


@pytest.mark.usefixtures("recipe")
def test_the_recipe_s_name_is_filled_in_and_a_source_in_the_place_of_another_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine-smoke.jsonl").write_text(json.dumps({"prompt": "가장 높은 산은 무엇인가요?"}))
    stand_in = {"source": "prompts", "path": "mine-{recipe}.jsonl"}
    entry = {"source": "prompts", "name": "later", "path": "./later-{recipe}.jsonl", "otherwise": stand_in}
    write_config(prompts={"sources": [entry]})
    assert make()[0].prompts == 1
    said = "./later-smoke.jsonl: not there, so `prompts` is read in its place\n"
    assert said in capsys.readouterr().err
    make()
    assert said in capsys.readouterr().err
    Path("later-smoke.jsonl").write_text(json.dumps({"prompt": "가장 긴 강은 무엇인가요?"}))
    make()
    assert "not there" not in capsys.readouterr().err


@pytest.mark.usefixtures("recipe")
def test_a_shard_that_was_changed_is_not_asked() -> None:
    Path("data/smoke/sft/train-00000-of-00001.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="not the bytes that were built"):
        found(max_prompts=None)


@pytest.mark.usefixtures("recipe")
def test_sources_of_any_kind_give_prompts_and_every_row_is_counted() -> None:
    questions = [
        "한국의 수도는 어디인가요?",
        "한국의 수도는 어디인가요?",
        "가장 높은 산은 무엇인가요?",
        "Who are you, and why?",
        "### Question: 가나다라",
        "",
    ]
    lines = [{"prompt": question, "id": number} for number, question in enumerate(questions)]
    Path("mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = {"source": "ko_ultrafeedback", "path": "dataset_builders/samples/ko_ultrafeedback.jsonl"}
    some = found(max_prompts=None, sources=[{"source": "prompts", "path": "mine.jsonl"}, pairs])
    manifest = verify("data/pairs/smoke/prompts")
    own, others = manifest.sources
    assert (own.read, own.kept) == (6, 2)
    assert own.rejected == {"exact duplicate": 1, "too little Hangul": 1, "fake turn": 1, "no prompt": 1}
    given = Counter(prompt.source for prompt in some.taken)
    assert given == {"prompts": 2, "ko_ultrafeedback": others.kept - some.dropped[TESTED]}
    assert {prompt.reference for prompt in some.taken} == {""}


@pytest.mark.usefixtures("recipe")
def test_prompts_of_a_file_are_answered_and_unchanged_ones_are_not_built_again() -> None:
    lines = [
        {"prompt": f"{number}번째 질문은 무엇에 대한 것인가요? {'가나다라마바사아자차'[number]}"}
        for number in range(10)
    ]
    Path("mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sources = [{"source": "prompts", "path": "mine.jsonl"}]
    write_config(prompts={"max_prompts": None, "sources": sources})
    record, _ = make()
    assert record.prompts == verify("data/pairs/smoke/prompts").sources[0].kept > 5
    assert not make()[1]
    with Path("mine.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "전혀 다른 새로운 질문 하나를 여기에 더합니다."}) + "\n")
    assert make()[0].prompts == record.prompts + 1


@pytest.mark.usefixtures("recipe")
def test_prompts_that_a_benchmark_has_are_not_asked() -> None:
    question = "서울에서 부산까지 가는 기차는 하루에 몇 번이나 있고 표는 어디에서 사야 하는지 자세히 알려 주세요."
    Path("bench.jsonl").write_text(json.dumps({"question": question}) + "\n")
    Path("mine.jsonl").write_text(
        json.dumps({"prompt": question}) + "\n" + json.dumps({"prompt": "가장 높은 산은 무엇인가요?"})
    )
    text = Path("axolotl_configs/smoke/data.yaml").read_text()
    benchmark = "{name: own, path: bench.jsonl, columns: [question]}"
    Path("axolotl_configs/smoke/data.yaml").write_text(
        f"{text}\nquality: {{contamination: {{benchmarks: [{benchmark}]}}}}\n"
    )
    some = found(max_prompts=None, sources=[{"source": "prompts", "path": "mine.jsonl"}])
    assert [prompt.messages[0]["content"] for prompt in some.taken] == ["가장 높은 산은 무엇인가요?"]
    assert verify("data/pairs/smoke/prompts").sources[0].rejected == {"in a benchmark": 1}
