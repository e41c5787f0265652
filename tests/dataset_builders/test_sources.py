"""Each source's rule, on its samples and on rows with upstream's oddities."""

from typing import Any

import pytest

from dataset_builders.rows import Conversation, Preference, in_order
from dataset_builders.sources import SOURCES, find_upstream
from rabbit_ko.errors import Rejected
from tests.conftest import ROOT, sample_rows

SHAREGPT = [{"from": "human", "value": "하나"}, {"from": "gpt", "value": "둘"}]


def convert(source: str, row: dict[str, Any]) -> Any:
    return SOURCES[source].convert(row, source)


def kept(source: str) -> list[Any]:
    """The rows that a sample file leaves."""
    rows = []
    for row in sample_rows(source):
        try:
            rows.append(convert(source, row))
        except Rejected:
            continue
    return rows


def turns(*contents: str) -> list[dict[str, str]]:
    """User and assistant in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": content} for index, content in enumerate(contents)]


@pytest.mark.parametrize("source", ["koalpaca", "openorca_ko", "guanaco_ko"])
def test_samples_of_conversations_are_at_least_forty_and_obey_the_row_type(source: str) -> None:
    rows = kept(source)
    assert len(rows) >= 40
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert isinstance(row, Conversation)
        in_order(row.messages, last="assistant")


def test_samples_of_preferences_are_at_least_sixty_and_obey_the_row_type() -> None:
    rows = [row for source in ("orca_math_ko_dpo", "hh_rlhf_ko", "ko_ultrafeedback") for row in kept(source)]
    assert len(rows) >= 60
    for row in rows:
        assert isinstance(row, Preference)
        in_order(row.prompt, last="user")
        assert [message["role"] for message in row.chosen + row.rejected] == ["assistant", "assistant"]


def test_openorca_rows_are_unchanged() -> None:
    for raw in sample_rows("openorca_ko"):
        row = convert("openorca_ko", raw)
        assert row.id == f"openorca_ko/{raw['id']}"
        system = [{"role": "system", "content": raw["input"]}] if raw["input"].strip() else []
        assert row.messages == [*system, *turns(raw["instruction"], raw["output"])]


def test_koalpaca_question_and_answer_are_unchanged() -> None:
    for raw in sample_rows("koalpaca"):
        assert convert("koalpaca", raw).messages == turns(raw["instruction"], raw["output"])


def test_guanaco_delimiters_split_wherever_they_stand_and_other_headings_do_not() -> None:
    transcript = (
        "### Human: 하나?\n### Tip: 둘### Assistant: ### 1단계: 셋\n\n넷 ### Human:다섯\n### Assistant:여섯\n"
    )
    assert convert("guanaco_ko", {"text": transcript, "id": 1}).messages == turns(
        "하나?\n### Tip: 둘", "### 1단계: 셋\n\n넷", "다섯", "여섯"
    )


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        ("### Human: 답이 없어요", "no answer"),
        ("### Assistant: 먼저 말합니다### Human: 네### Assistant: 네", "roles out of order"),
        ("### Human: 하나### Assistant: ### Human: 둘### Assistant: 셋", "empty turn"),
        ("### Human: 하나### Human: 둘### Assistant: 셋", "roles out of order"),
        ("구분자가 없는 글", "no delimiter at the start"),
        ("머리말 ### Human: 하나### Assistant: 둘", "no delimiter at the start"),
        ("", "no delimiter at the start"),
    ],
)
def test_guanaco_rows_without_a_conversation_are_rejected_with_a_reason(transcript: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        convert("guanaco_ko", {"text": transcript, "id": "7"})


def test_guanaco_human_turn_at_the_end_is_dropped() -> None:
    row = convert("guanaco_ko", {"text": "### Human: 하나### Assistant: 둘### Human: 셋", "id": 7})
    assert (row.id, row.messages) == ("guanaco_ko/7", turns("하나", "둘"))


PUBLIC: dict[str, tuple[dict[str, Any], list[dict[str, str]], str]] = {
    "kullm_v2": (
        {"id": "alpaca_{idx}", "instruction": "요약해 줘.", "input": "긴 글", "output": "짧은 글"},
        turns("요약해 줘.\n\n긴 글", "짧은 글"),
        "",
    ),
    "kovast": (
        {"conversations": [{"from": "user", "value": "하나"}, {"from": "gpt", "value": "둘"}] * 2, "split": "a"},
        turns("하나", "둘", "하나", "둘"),
        "",
    ),
    "dolly_ko": (
        {
            "instruction": "언제 지었나요?",
            "context": "1395년에 지은 궁.",
            "response": "1395년.",
            "category": "closed_qa",
        },
        turns("언제 지었나요?\n\n1395년에 지은 궁.", "1395년."),
        "",
    ),
    "openorca_gugugo_ko": (
        {"id": "flan.7", "system_prompt": "짧게 답하세요.", "question": "하나 더하기 하나는?", "response": "둘."},
        [{"role": "system", "content": "짧게 답하세요."}, *turns("하나 더하기 하나는?", "둘.")],
        "flan.7",
    ),
    "ko_instruction": (
        {"instruction": "시를 써 줘.", "output": "봄이 왔네."},
        turns("시를 써 줘.", "봄이 왔네."),
        "",
    ),
    "k2_feedback": (
        {"instruction": "떡국은 언제 먹나요?", "response": "설날에 먹습니다.", "score": 5, "feedback": "좋다."},
        turns("떡국은 언제 먹나요?", "설날에 먹습니다."),
        "",
    ),
    "koalpaca_realqa": (
        {"custom_id": "r-12", "question": "감기에 뭐가 좋아?", "answer": "푹 쉬세요."},
        turns("감기에 뭐가 좋아?", "푹 쉬세요."),
        "r-12",
    ),
    "orca_math_ko": (
        {"question": "둘의 세 배는?", "answer": "여섯.", "question_en": "Two times three?", "answer_en": "Six."},
        turns("둘의 세 배는?", "여섯."),
        "",
    ),
}


@pytest.mark.parametrize("source", PUBLIC)
def test_rows_of_public_sets_in_upstreams_columns_are_conversations(source: str) -> None:
    raw, messages, key = PUBLIC[source]
    assert set(SOURCES[source].required) <= raw.keys()
    row = convert(source, raw)
    assert isinstance(row, Conversation)
    assert row.messages == messages
    assert not key or row.id == f"{source}/{key}"


@pytest.mark.parametrize("score", [5, 5.0, "5"])
def test_only_answers_of_five_points_are_learned_from(score: object) -> None:
    raw, messages, _ = PUBLIC["k2_feedback"]
    assert convert("k2_feedback", raw | {"score": score}).messages == messages
    for other in (4, 1.0, "3", None, 50):
        with pytest.raises(Rejected, match="`score` is not 5"):
            convert("k2_feedback", raw | {"score": other})


@pytest.mark.parametrize(
    ("path", "license", "commercial"),
    [
        ("nlpai-lab/kullm-v2", "Apache-2.0", True),
        ("maywell/koVast", "MIT", True),
        ("nlpai-lab/databricks-dolly-15k-ko", "CC-BY-SA-3.0", True),
        ("squarelike/OpenOrca-gugugo-ko", "MIT", True),
        ("CarrotAI/ko-instruction-dataset", "Apache-2.0", True),
        ("HAERAE-HUB/K2-Feedback", "none stated", None),
        ("beomi/KoAlpaca-RealQA", "CC-BY-SA-4.0", True),
        ("kuotient/orca-math-word-problems-193k-korean", "CC-BY-SA-4.0", True),
    ],
)
def test_public_sets_are_found_by_their_name_with_the_license_of_their_page(
    path: str, license: str, commercial: bool | None
) -> None:
    found = find_upstream(path)
    assert found
    assert (found.license.name, found.license.commercial) == (license, commercial)
    assert found.license.stated == f"https://huggingface.co/datasets/{path}"


def test_the_table_of_sources_says_what_the_sources_say() -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    said = {cells[0].strip("`"): cells for cells in table if len(cells) == 6 and "/" in cells[1]}
    public = {name: source for name, source in SOURCES.items() if source.license.stated}
    assert said.keys() == public.keys()
    for name, (_, path, rows, license, translated, _) in said.items():
        source = public[name]
        assert source.license.stated.endswith(f"/datasets/{path}")
        assert rows.lstrip("~") == (f"{source.upstream_rows:,}" if source.upstream_rows else "")
        assert license == source.license.name
        assert (translated == "yes") == source.translated


def test_hh_rlhf_context_comes_before_the_question() -> None:
    row = convert("hh_rlhf_ko", sample_rows("hh_rlhf_ko")[-1])
    assert [message["role"] for message in row.prompt] == ["user", "assistant"] * 2 + ["user"]


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [("", "나", "empty chosen"), ("가", " ", "empty rejected"), ("같다", " 같다\n", "chosen equals rejected")],
)
def test_preferences_that_say_nothing_are_rejected(chosen: str, rejected: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        convert("ko_ultrafeedback", {"prompt": "질문", "chosen": chosen, "rejected": rejected})


def test_half_a_surrogate_pair_is_rejected() -> None:
    with pytest.raises(Rejected, match="broken unicode"):
        convert("koalpaca", {"instruction": "가\ud83d", "output": "나"})


def test_alpaca_puts_the_input_behind_the_instruction() -> None:
    row = convert("alpaca", {"instruction": "요약해 줘.", "input": "긴 글", "output": "짧은 글", "id": None})
    assert row.messages == turns("요약해 줘.\n\n긴 글", "짧은 글")
    assert convert("alpaca", {"instruction": "가", "output": "나", "id": 3}).id == "alpaca/3"


def test_a_blank_system_turn_is_none() -> None:
    row = convert("sharegpt", {"conversations": [{"from": "system", "value": " "}, *SHAREGPT]})
    assert row.messages == turns("하나", "둘")


def test_sharegpt_and_messages_agree() -> None:
    sharegpt = [{"from": "system", "value": "짧게"}, *SHAREGPT]
    messages = [{"role": "system", "content": "짧게"}, *turns("하나", "둘")]
    assert convert("sharegpt", {"conversations": sharegpt}).messages == messages
    assert convert("messages", {"messages": messages}).messages == messages


def test_preference_takes_texts_or_messages() -> None:
    texts = {"prompt": "하나", "chosen": "둘", "rejected": "셋"}
    messages = {"prompt": turns("하나"), "chosen": turns("하나", "둘"), "rejected": turns("하나", "셋")}
    assert convert("preference", texts) == convert("preference", messages)


def test_rows_without_an_id_get_one_from_their_content() -> None:
    first, again, other = (convert("koalpaca", {"instruction": q, "output": "답"}) for q in ("가", "가", "나"))
    assert first.id == again.id != other.id


@pytest.mark.parametrize(
    ("source", "row", "message"),
    [
        ("koalpaca", {"instruction": ["가"], "output": "나"}, "`instruction` must be text, not list"),
        ("koalpaca", {"instruction": "가", "output": 42}, "`output` must be text, not int"),
        ("koalpaca", {"instruction": "가", "output": 0}, "`output` must be text, not int"),
        ("messages", {"messages": "가"}, "`messages` must be a list, not str"),
        ("messages", {"messages": [{"role": "user"}]}, "`messages` has a turn without `content`"),
        ("sharegpt", {"conversations": ["가"]}, "`conversations` must be made of objects with `from` and `value`"),
    ],
)
def test_fields_of_another_type_are_named(source: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected, match=message):
        convert(source, row)


def test_a_source_is_found_by_its_file_alone() -> None:
    files = {path.stem for path in (ROOT / "dataset_builders/sources").glob("[!_]*.py")}
    assert SOURCES.keys() == files
    assert find_upstream("kyujinpy/openorca-ko") is SOURCES["openorca_ko"]
    assert find_upstream("org/mine") is None
