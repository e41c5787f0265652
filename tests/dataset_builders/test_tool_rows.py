"""Rows with calls, results, tools and reasoning on their way to a shard; rows without any are as they ever were."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.build import build
from dataset_builders.calls import find_call_mistake
from dataset_builders.recipe import load_config
from dataset_builders.rows import Conversation, Preference, content_of, row_id, said_by
from dataset_builders.schemas import EXTRAS, SCHEMAS, from_bits, schema_of, to_bits
from dataset_builders.verify import verify
from tests.conftest import SAMPLES, sample_rows
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import OFF, build_rows, file_contents, read_rows, write_config, write_jsonl

PLAIN = [
    {"id": f"p{number}", "messages": [{"role": "user", "content": row["instruction"]}, _answer]}
    for number, row in enumerate(exchanges(40))
    for _answer in [{"role": "assistant", "content": row["output"]}]
]
TOOL_ROWS, TOOL_PAIRS = sample_rows("tools_ko"), sample_rows("tools_ko_dpo")
ALL_FIELDS = {"reasoning_content", "tool_calls", "tool_call_id"}


def tool_row(number: int = 1, /, **changes: str) -> dict[str, Any]:
    """A row that has each field, with some texts of it changed."""
    said = {"question": f"{number}번 도시의 날씨는?", "thought": "날씨를 물어보자", "city": "서울", "key": "city"}
    said |= {
        "name": "weather",
        "id": "c1",
        "result": '{"기온": 21}',
        "answer": "맑습니다.",
        "about": "도시의 날씨",
    } | changes
    function = {"name": said["name"], "arguments": {said["key"]: [said["city"]]}}
    calling = {"role": "assistant", "content": "", "reasoning_content": said["thought"]}
    return {
        "id": f"t{number}",
        "tools": [
            {"name": said["name"], "description": said["about"], "parameters": {said["key"]: {"type": "array"}}}
        ],
        "messages": [
            {"role": "user", "content": said["question"]},
            {**calling, "tool_calls": [{"type": "function", "id": said["id"], "function": function}]},
            {"role": "tool", "content": said["result"], "tool_call_id": said["id"]},
            {"role": "assistant", "content": said["answer"]},
        ],
    }


def built(folder: Path, rows: list[Any], source: str = "messages", **options: Any) -> list[dict[str, Any]]:
    """The SFT rows of a build."""
    build_rows(folder, source, rows, **options)
    return read_rows(folder / "data", "sft")


def schemas(folder: Path) -> list[pa.Schema]:
    """The schemas of all shards of a folder."""
    return [pq.read_schema(path) for path in sorted(folder.glob("*.parquet"))]


def test_one_row_gives_all_shards_of_its_kind_its_columns_and_no_other_kind(tmp_path: Path) -> None:
    paths = [
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
        for name, rows in {"plain": [*PLAIN, tool_row()], "pairs": TOOL_PAIRS, "labels": [_labelled()]}.items()
    ]
    sources = ("messages", "preference", "labelled")
    entries = [{"source": source, "path": str(path)} for source, path in zip(sources, paths, strict=True)]
    config = write_config(tmp_path / "data.yaml", *entries, quality=OFF, rows_per_shard=7, test_size=0.2)
    build(load_config(config), tmp_path / "data")
    verify(str(tmp_path / "data"))
    found = {kind: schemas(tmp_path / "data" / kind) for kind in ("sft", "dpo", "kto")}
    assert len(found["sft"]) > 5
    assert all(schema == schema_of("sft", {*ALL_FIELDS, "tools"}) for schema in found["sft"])
    assert all(schema == schema_of("dpo", {*ALL_FIELDS, "tools"}) for schema in found["dpo"])
    assert found["kto"] == [SCHEMAS["kto"]]
    loaded = load_dataset(str(tmp_path / "data/sft"), cache_dir=str(tmp_path / "cache"))
    assert sum(tools is not None for part in loaded.values() for tools in part["tools"]) == 1


def _labelled() -> dict[str, Any]:
    return {"prompt": "질문입니다", "completion": "답입니다", "label": True}


def test_each_column_is_there_for_the_rows_that_need_it_alone(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "네"}
    for field, turns, row in (
        ("reasoning_content", [answer | {"reasoning": "음"}], {}),
        ("tool_calls", [{"role": "assistant", "tool_calls": [{"name": "f"}]}], {}),
        ("weight", [answer | {"weight": 0}, PLAIN[0]["messages"][0], answer], {}),
        ("tools", [answer], {"tools": [{"name": "f"}]}),
    ):
        messages = [{"role": "user", "content": "질문"}, *turns]
        build_rows(tmp_path / field, "messages", [*PLAIN, {"id": "t", "messages": messages, **row}])
        assert all(schema == schema_of("sft", {field}) for schema in schemas(tmp_path / field / "data/sft"))


def test_a_row_that_is_dropped_makes_no_column(tmp_path: Path) -> None:
    for name, rows in (("plain", PLAIN), ("tools", [tool_row(question="가" * 60_000), *PLAIN])):
        quality = {"action": "off", "length": {"action": "reject"}}
        build_rows(tmp_path / name, "messages", rows, quality=quality)
    [dropped] = read_rows(tmp_path / "tools/data", "rejected")
    assert {"messages", "tools"} == json.loads(dropped["row"]).keys()
    assert file_contents(tmp_path / "plain/data/sft") == file_contents(tmp_path / "tools/data/sft")


def test_rows_beside_others_with_tools_say_and_are_what_they_were(tmp_path: Path) -> None:
    alone = {row["id"]: row["messages"] for row in built(tmp_path / "alone", PLAIN, test_size=0.0)}
    beside = built(tmp_path / "beside", [*TOOL_ROWS, *PLAIN], test_size=0.0)
    given = {row["id"]: [_without_nulls(message) for message in row["messages"]] for row in beside}
    assert {key: messages for key, messages in given.items() if key in alone} == alone
    assert len(given) == len(PLAIN) + len(TOOL_ROWS)


def _without_nulls(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if value is not None}


@given(st.lists(st.text(), min_size=2), st.booleans())
def test_ids_and_contents_of_plain_rows_are_those_of_their_texts_alone(texts: list[str], label: bool) -> None:
    messages: Any = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    assert said_by(messages) == "\0".join(texts) == content_of(Conversation("a", "b", messages))
    assert content_of(Preference("a", "b", messages[:-2], messages[-2:-1], messages[-1:])) == "\0".join(texts)
    marked = [messages[0], {**messages[1], "weight": 0}, *messages[2:]]
    assert said_by(marked) == f"{chr(0).join(texts)}\0{[2, 3, *[2] * (len(texts) - 2)]}"


def test_an_id_of_a_plain_row_is_a_hash_that_does_not_change() -> None:
    assert row_id("x", [said_by([{"role": "user", "content": "질문"}, {"role": "assistant", "content": "답"}])]) == (
        row_id("x", ["질문", "답"])
    )


@given(st.sets(st.sampled_from(EXTRAS)))
def test_the_columns_that_a_row_needs_are_a_number(extras: set[str]) -> None:
    assert from_bits(to_bits(extras)) == extras
    assert 0 <= to_bits(extras) < 256


def test_the_order_of_rows_and_the_size_of_chunks_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*PLAIN, *TOOL_ROWS, tool_row(), tool_row(answer="흐립니다."), {**tool_row(3), "id": None}, tool_row()]
    made = []
    for name, size in (("a", 8 << 20), ("b", 900), ("c", 3_000)):
        monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_BYTES", size)
        path = write_jsonl(tmp_path / name / "rows.jsonl", random.Random(name).sample(rows, len(rows)))
        entry = {"source": "messages", "path": str(path), "max_samples": 70}
        build(
            load_config(write_config(tmp_path / name / "data.yaml", entry, rows_per_shard=9)),
            tmp_path / name / "data",
        )
        made.append({kind: file_contents(tmp_path / name / "data" / kind) for kind in ("sft", "rejected")})
    assert made[0] == made[1] == made[2]
    assert made[0]["rejected"]


def test_what_was_built_is_built_again_as_it_is(tmp_path: Path) -> None:
    for source, rows, kind in (("messages", TOOL_ROWS, "sft"), ("preference", TOOL_PAIRS, "dpo")):
        build_rows(tmp_path / kind, source, rows, test_size=0.0)
        entry = {"source": source, "path": str(tmp_path / kind / "data" / kind)}
        config = write_config(tmp_path / "again.yaml", entry, quality=OFF, test_size=0.0)
        again = tmp_path / kind / "again"
        [report] = build(load_config(config), again).sources
        assert (report.kept, report.rejected, report.unread_columns) == (len(rows), {}, ["source"])
        first, second = (
            {row.pop("id").rpartition("/")[2]: {**row, "source": ""} for row in read_rows(data, kind)}
            for data in (tmp_path / kind / "data", again)
        )
        assert first == second


def test_objects_in_a_table_are_read_as_those_in_json(tmp_path: Path) -> None:
    rows = [tool_row(), tool_row(2, key="town", name="wind")]
    said = {row["id"]: row for row in built(tmp_path / "json", rows, test_size=0.0)}
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert '"town": null' in json.dumps(pq.read_table(path).to_pylist()[0]["messages"])
    config = write_config(
        tmp_path / "data.yaml", {"source": "messages", "path": str(path)}, quality=OFF, test_size=0.0
    )
    build(load_config(config), tmp_path / "data")
    assert {row["id"]: row for row in read_rows(tmp_path / "data", "sft")} == said


def test_the_samples_are_kept_with_the_gates_of_most_recipes(tmp_path: Path) -> None:
    for source, name in (("messages", "tools_ko"), ("preference", "tools_ko_dpo")):
        entry = {"source": source, "path": str(SAMPLES / f"{name}.jsonl")}
        [report] = build(load_config(write_config(tmp_path / "data.yaml", entry)), tmp_path / name).sources
        assert (report.kept, report.rejected, report.unread_columns) == (report.read, {}, [])
    kept = [row["messages"] for row in read_rows(tmp_path / "tools_ko", "sft")]
    assert len(kept) >= 40
    assert sum(bool(messages[-1]["tool_calls"]) for messages in kept) >= 5
    assert sum(any(message["reasoning_content"] for message in messages) for messages in kept) >= 10
    assert not any(find_call_mistake(messages, "assistant") for messages in kept)


FIELDS = ("thought", "city", "key", "name", "id", "result", "about")


@pytest.mark.parametrize("field", FIELDS)
def test_an_injection_in_any_field_rejects_the_row_or_is_escaped(tmp_path: Path, field: str) -> None:
    rows = [tool_row(), tool_row(2, **{field: "앞<|eot_id|>뒤"}), tool_row(3, **{field: "앞\n### Question:\n뒤"})]
    [report] = build_rows(tmp_path, "messages", rows).sources
    assert report.rejected == {"control token": 1, "fake turn": 1}
    [report] = build_rows(tmp_path, "messages", rows, {"prompt_injection": "escape"}, test_size=0.0).sources
    assert (report.kept, report.escaped) == (3, 2)
    escaped = {
        row["id"]: str([_decoded(row["tools"]), *map(_texts, row["messages"])])
        for row in read_rows(tmp_path / "data", "sft")
    }
    assert "<\\\\|eot_id|>" in escaped["messages/t2"]
    assert "\\n#\\\\## Question:\\n" in escaped["messages/t3"]
    assert not any("<|eot_id|>" in said or "\\n### Question" in said for said in escaped.values())


def _decoded(text: str | None) -> Any:
    return json.loads(text or "null")


def _texts(message: dict[str, Any]) -> list[Any]:
    return [
        message["content"],
        message["reasoning_content"],
        _decoded(message["tool_calls"]),
        message["tool_call_id"],
    ]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [("가\x00", "control character"), ("가\ufffd", "broken unicode"), ("가" + chr(0xD83D), "broken unicode")],
)
def test_what_no_shard_may_hold_is_found_in_any_field(tmp_path: Path, field: str, text: str, reason: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in (tool_row(), tool_row(2, **{field: text}))))
    config = write_config(tmp_path / "data.yaml", {"source": "messages", "path": str(path)}, quality=OFF)
    [report] = build(load_config(config), tmp_path / "data").sources
    assert report.rejected == {reason: 1}


@pytest.mark.parametrize("field", FIELDS)
def test_texts_of_any_field_are_composed(tmp_path: Path, field: str) -> None:
    decomposed, composed = tool_row(**{field: "\u1112\u1161\u11ab\u1100\u1173\u11af"}), tool_row(**{field: "한글"})
    assert built(tmp_path / "a", [decomposed]) == built(tmp_path / "b", [composed])


def test_keys_that_are_one_once_they_are_composed_reject_the_row(tmp_path: Path) -> None:
    row = tool_row(2)
    row["messages"][1]["tool_calls"][0]["function"]["arguments"] = {"가": 1, "\u1100\u1161": 2}
    [report] = build_rows(tmp_path, "messages", [tool_row(), row]).sources
    assert report.rejected == {"two keys of an object have the same name": 1}


def test_a_mark_at_the_start_of_a_text_does_not_fall_upon_its_json(tmp_path: Path) -> None:
    [row] = built(tmp_path, [tool_row(city="\n\u0301한\u0301")])
    [call] = json.loads(row["messages"][1]["tool_calls"])
    assert call["function"]["arguments"] == {"city": ["\n\u0301한\u0301"]}


OTHERS = [{field: "다른 것"} for field in ("thought", "city", "name", "id", "result", "about")]


def test_rows_that_differ_in_one_field_are_no_exact_duplicates(tmp_path: Path) -> None:
    rows = [tool_row(), *({**tool_row(**changes), "id": None} for changes in OTHERS), {**tool_row(), "id": "again"}]
    quality = {"action": "off", "exact_duplicates": {"action": "reject"}}
    [report] = build_rows(tmp_path, "messages", rows, quality=quality).sources
    assert (report.kept, report.rejected) == (len(rows) - 1, {"exact duplicate": 1})


def test_rows_that_differ_in_calls_or_reasoning_are_no_near_duplicates_and_tools_alone_tell_none_apart(
    tmp_path: Path,
) -> None:
    long = " ".join(row["output"] for row in exchanges(3))
    rows = [tool_row(), *({**tool_row(), "id": f"o{at}"} for at in range(4))]
    rows[1]["messages"][1]["reasoning_content"] = long
    rows[2]["messages"][1]["tool_calls"][0]["function"]["arguments"] = {"text": long[::-1]}
    rows[3]["messages"][2]["content"] = long[::2]
    rows[4]["tools"] = [{"name": "other", "description": long}]
    quality = {"action": "off", "near_duplicates": {"action": "reject"}}
    [report] = build_rows(tmp_path, "messages", rows, quality=quality).sources
    assert (report.kept, report.rejected) == (4, {"near duplicate": 1})
    assert {row["evidence"] for row in read_rows(tmp_path / "data", "rejected")} <= {"messages/t1", "messages/o3"}


ENGLISH = "I have to think about this for a while, and I am going to do that in English because I am used to it."


@pytest.mark.parametrize("field", ["thought", "city", "result"])
def test_hangul_is_asked_of_what_is_said_and_not_of_data_or_reasoning(tmp_path: Path, field: str) -> None:
    quality = {"action": "off", "hangul": {"action": "reject"}}
    english = tool_row(2, question="Hello", answer="Hi there", **{field: "한글만 있습니다. " * 9})
    [report] = build_rows(tmp_path, "messages", [tool_row(**{field: ENGLISH * 9}), english], quality=quality).sources
    assert report.rejected == {"too little Hangul": 1}


def test_length_is_that_of_all_messages_with_calls_and_reasoning(tmp_path: Path) -> None:
    quality = {"action": "off", "length": {"action": "reject", "max": 1_000}}
    rows = [
        tool_row(),
        *(tool_row(at, **{field: "가" * 990}) for at, field in enumerate(("thought", "city", "result"), 2)),
    ]
    [report] = build_rows(tmp_path, "messages", rows, quality=quality).sources
    assert report.rejected == {"length": 3}


def test_pairs_of_a_call_and_a_text_are_not_of_unlike_length(tmp_path: Path) -> None:
    call = {"role": "assistant", "tool_calls": [{"name": "weather", "arguments": {"city": "서울"}}]}
    rows = [
        {"prompt": "서울 날씨는 어때요?", "chosen": [call], "rejected": "잘 모르겠습니다. " * 4},
        {"prompt": "부산 날씨는 어때요?", "chosen": [call | {"reasoning": "물어보자. " * 500}], "rejected": "네"},
    ]
    quality = {"action": "off", "length_ratio": {"action": "reject"}}
    [report] = build_rows(tmp_path, "preference", rows, quality=quality).sources
    assert report.rejected == {"answers of unlike length": 1}


def test_refusals_are_looked_for_in_answers_and_loops_in_reasoning_too(tmp_path: Path) -> None:
    refusing = "죄송하지만 그 요청은 도와드릴 수 없습니다."
    quality = {"action": "off", "refusals": {"action": "reject"}, "repetition": {"action": "reject"}}
    rows = [
        tool_row(1, thought=refusing, result=refusing),
        tool_row(2, answer=refusing),
        tool_row(3, thought="같은 생각을 합니다. " * 40),
        tool_row(4, result="같은 결과입니다. " * 40),
        tool_row(5, city="서울특별시 종로구 " * 40),
    ]
    [report] = build_rows(tmp_path, "messages", rows, quality=quality).sources
    assert report.rejected == {"refusal": 1, "repetition": 1}


def test_a_rejected_answer_may_repeat_itself_in_its_reasoning(tmp_path: Path) -> None:
    answers = [
        {"role": "assistant", "content": f"{side} 답", "reasoning": "같은 생각을 합니다. " * 40} for side in "가나"
    ]
    quality = {"action": "off", "repetition": {"action": "reject"}}
    rows = [
        {"prompt": "첫째 질문입니다", "chosen": "좋은 답", "rejected": answers[:1]},
        {"prompt": "둘째 질문입니다", "chosen": answers[1:], "rejected": "나쁜 답"},
    ]
    [report] = build_rows(tmp_path, "preference", rows, quality=quality).sources
    assert report.rejected == {"repetition": 1}


def test_data_is_no_code_and_reasoning_may_be_mathematics(tmp_path: Path) -> None:
    quality = {"action": "off", "subjects": {"action": "reject", "drop": ["math", "code"]}}
    rows = [
        tool_row(1, result='{\n  "temperature": 21,\n  "items": [\n    {"name": "x"},\n  ]\n}\n' * 5),
        tool_row(2, thought="16 - 3 - 4 = 9, 9 × 2 = 18, 18 + 4 = 22"),
    ]
    [report] = build_rows(tmp_path, "messages", rows, quality=quality).sources
    assert report.rejected == {"subject": 1}


EXAM = "철수는 사과를 세 개 샀고 영희는 배를 다섯 개 샀습니다. 두 사람이 산 과일은 모두 몇 개일까요?"


@pytest.mark.parametrize("field", ["thought", "city", "result", "answer"])
def test_a_benchmark_is_found_in_any_field_of_the_messages(tmp_path: Path, field: str) -> None:
    exam = write_jsonl(tmp_path / "exam/test.jsonl", [{"question": EXAM}])
    gate = {"action": "reject", "benchmarks": [{"name": "exam", "path": str(exam)}]}
    rows = [tool_row(), tool_row(2, **{field: EXAM})]
    [report] = build_rows(tmp_path, "messages", rows, quality={"action": "off", "contamination": gate}).sources
    assert report.rejected == {"in a benchmark": 1}


def test_turns_are_counted_by_their_questions_and_a_system_prompt_goes_in_front(tmp_path: Path) -> None:
    rows = [row for row in TOOL_ROWS if row["messages"][0]["role"] != "system"]
    [report] = build_rows(tmp_path, "messages", rows, {"add_system_prompt": True, "probability": 1.0}).sources
    several = [row for row in rows if sum(turn["role"] == "user" for turn in row["messages"]) > 1]
    assert (report.with_system_prompt, report.multi_turn) == (len(rows), len(several))
    assert {row["messages"][0]["role"] for row in read_rows(tmp_path / "data", "sft")} == {"system"}


def test_tokens_and_repeats_are_those_of_all_that_a_row_says(tmp_path: Path, smoke_tokenizer: Any) -> None:
    smoke_tokenizer.save_pretrained(tmp_path / "tokenizer")
    entry, tokenizer = {"weight": 2.0}, str(tmp_path / "tokenizer")
    [report] = build_rows(tmp_path, "messages", TOOL_ROWS, entry, test_size=0.0, tokenizer=tokenizer).sources
    rows = read_rows(tmp_path / "data", "sft")
    fields = ("content", "reasoning_content", "tool_calls")
    said = [message[field] for row in rows for message in row["messages"] for field in fields]
    texts = [text for text in (*said, *(row["tools"] for row in rows)) if text]
    assert report.tokens == sum(len(smoke_tokenizer(text, add_special_tokens=False).input_ids) for text in texts)
    assert report.repeats == report.kept == len(TOOL_ROWS)
    repeats = {row["id"].removesuffix("#2"): row for row in rows if row["id"].endswith("#2")}
    assert all(repeats[row["id"]]["tools"] == row["tools"] for row in rows if row["id"] in repeats)
