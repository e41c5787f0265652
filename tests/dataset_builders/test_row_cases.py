"""The shared cases about rows, each through a build: what their README says that a user has a right to."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builders.build import build
from dataset_builders.manifest import SourceSummary
from dataset_builders.recipe import DataConfig
from dataset_builders.strict import RENAMED
from dataset_builders.verify import verify
from rabbit_ko.errors import UserError
from tests.conftest import SHARED
from tests.dataset_builders.files import read_rows

CASES = SHARED / "cases/data"
pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason=f"{CASES} is absent; point RABBIT_KO_SHARED at a folder with cases/data"
)


def build_case(
    name: str, out: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> tuple[SourceSummary, list[dict[str, Any]]]:
    """Build a case from inside its folder, with changes to its source; return what became of it, and its rows."""
    monkeypatch.chdir(CASES / name)
    raw = yaml.safe_load(Path("data.yaml").read_text(encoding="utf-8"))
    raw = {RENAMED.get(key, key): value for key, value in raw.items()}
    [entry] = raw["sources"]
    raw["sources"] = [{RENAMED.get(key, key): value for key, value in entry.items()} | changes]
    [summary] = build(DataConfig.model_validate(raw), out).sources
    assert summary.read == summary.kept + sum(summary.rejected.values())
    verify(str(out))
    return summary, read_rows(out, summary.stage)


def said(messages: list[dict[str, Any]]) -> list[str]:
    """The messages of a row, each as `role: content`."""
    return [f"{message['role']}: {message['content']}" for message in messages]


PAIRS: dict[str, list[tuple[list[str], str, str]]] = {
    "pref_multiturn_text_prompt": [
        (
            ["user: 파이썬이 뭐야?", "assistant: 프로그래밍 언어입니다.", "user: 그럼 설치는?"],
            "python.org에서 받습니다.",
            "안 됩니다.",
        ),
        (
            ["user: 파이썬이 뭐야?", "assistant: 프로그래밍 언어입니다.", "user: 그럼 설치는?"],
            "python.org에서 받아요.",
            "안 돼요.",
        ),
    ],
    "pref_system_in_chosen": [
        (["system: 당신은 해적입니다. 해적처럼 답하세요.", "user: 2+2는?"], "넷이다, 선장!", "4입니다.")
    ],
    "pref_chosen_dict": [(["user: 질문"], "좋은 답변", "나쁜 답변")],
    "pref_sharegpt_keys": [(["user: 질문"], "좋은 답변", "나쁜 답변")],
    "pref_ultrafeedback": [(["user: 김치의 역사를 알려 줘"], "김치는 삼국시대부터 기록이 있습니다.", "모르겠네요.")],
    "pref_no_prompt": [(["user: 질문"], "좋은 답변", "나쁜 답변")],
    "pref_hh_with_prompt": [(["user: 매운 음식 추천해 줘"], "떡볶이를 추천합니다.", "싫어요.")],
    "pref_hh_raw": [(["user: 매운 음식 추천해 줘"], "떡볶이를 추천합니다.", "싫어요.")],
    "pref_prompt_json_string": [(["user: 안녕하세요 질문"], "좋은 답변", "나쁜 답변")],
    "pref_alpaca_ranking": [
        (["user: 요약해 줘\n\n봄에는 벚꽃이 핀다. 여름에는 덥다."], "봄꽃과 여름 더위 이야기.", "몰라."),
        (["user: 요약해 줘\n\n가을에는 단풍이 든다."], "가을 단풍 이야기.", "몰라요."),
    ],
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_have_the_prompt_that_was_answered(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, rows = build_case(name, tmp_path / "data", monkeypatch)
    assert (summary.kept, summary.rejected) == (len(PAIRS[name]), {})
    found = [(said(row["prompt"]), row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]
    assert sorted(found) == sorted(PAIRS[name])


def test_columns_beside_a_pair_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, _ = build_case("pref_ultrafeedback", tmp_path / "data", monkeypatch)
    assert summary.unread_columns == ["messages", "prompt_id", "score_chosen", "score_rejected"]


def test_pairs_whose_turns_disagree_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = "1 `chosen` and `rejected` differ before their answers, 1 `prompt` and `chosen` disagree"
    with pytest.raises(UserError, match=f"of 2 rows none is left; dropped: {reasons}"):
        build_case("pref_histories_differ", tmp_path / "data", monkeypatch)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pref_kto", [(["user: 질문"], "나쁜 답변", False), (["user: 질문"], "좋은 답변", True)]),
        ("pref_kto_messages", [(["user: 욕해 봐"], "이 바보야", False), (["user: 인사해 봐"], "안녕하세요", True)]),
    ],
)
def test_rows_with_a_label_are_a_kind_of_their_own(
    name: str, expected: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="dropped: 2 `label`: rows with a label need the source `labelled`"):
        build_case(name, tmp_path / "as it is", monkeypatch)
    summary, rows = build_case(name, tmp_path / "data", monkeypatch, source="labelled")
    assert (summary.stage, summary.kept) == ("kto", 2)
    found = [(said(row["prompt"]), row["completion"][0]["content"], row["label"]) for row in rows]
    assert sorted(found) == sorted(expected)


CONVERSATIONS: dict[str, tuple[list[list[str]], dict[str, int]]] = {
    "msg_parts": (
        [
            ["user: 오늘 날씨 어때요?", "assistant: 맑고 선선합니다."],
            ["user: 제주도 맛집 알려 주세요", "assistant: 흑돼지 거리를 추천합니다."],
        ],
        {},
    ),
    "msg_reasoning": (
        [["user: 17 곱하기 23은 얼마?", "assistant: 391입니다."], ["user: 17 곱하기 23은?", "assistant: 391입니다."]],
        {"an answer of reasoning alone": 1},
    ),
    "msg_roles": (
        [
            ["system: 존댓말로 답하세요.", "user: 안녕하세요", "assistant: 안녕하세요! 무엇을 도와드릴까요?"],
            ["user: 안녕 모델", "assistant: 안녕하세요, 반갑습니다."],
            ["user: 대문자 역할", "assistant: 대문자도 읽습니다."],
            ["user: 사람", "assistant: 인공지능 답변입니다."],
            ["user: 공백 역할", "assistant: 공백 역할 답변"],
        ],
        {"unknown role `사용자`": 1},
    ),
    "msg_tool_calls": (
        [
            ["user: 오늘 날씨 어때요?", "assistant: 맑고 선선합니다."],
            ["user: 서울 날씨 알려줘", "assistant: ", 'tool: {"temp":21}', "assistant: 서울은 지금 21도입니다."],
            ["user: 서울 날씨 알려줘 둘", "assistant: "],
            [
                "user: 계산해 줘",
                "assistant: 네, 계산해 보겠습니다.",
                "user: 고마워요",
                "assistant: 도구를 부르겠습니다.",
            ],
            ["user: 계산 둘 해 줘", "assistant: "],
        ],
        {},
    ),
    "msg_weight": (
        [["user: 첫 질문", "assistant: 틀린 답", "user: 다시", "assistant: 맞는 답"]],
        {"no answer is to be trained: `weight` is 0, or `train` false": 1},
    ),
    "alpaca_history": (
        [
            [
                "user: 여행지 두 곳 추천해 주세요",
                "assistant: 부산과 경주입니다.",
                "user: 그럼 두 번째는요?",
                "assistant: 두 번째는 경주입니다.",
            ]
        ],
        {},
    ),
    "alpaca_nan": (
        [["user: 질문입니다", "assistant: 답변입니다 하나"], ["user: 질문 셋입니다", "assistant: 답변 셋입니다"]],
        {"empty turn": 1},
    ),
    "sharegpt_gpt_first": (
        [
            ["user: 부산 여행 코스 짜 줘", "assistant: 첫째 날은 해운대입니다."],
            ["system: 친절하게", "user: 김밥 두 줄이요", "assistant: 네 감사합니다"],
        ],
        {},
    ),
    "zero_width": (
        [["user: 제로\u200b폭 문자\u200b 질문입니다", "assistant: 답\u200d변 \u2060입니다\u00ad."]],
        {"empty turn": 2},
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations_hold_what_they_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, rejected = CONVERSATIONS[name]
    summary, rows = build_case(name, tmp_path / "data", monkeypatch)
    assert sorted(said(row["messages"]) for row in rows) == sorted(expected)
    assert summary.rejected == rejected
    greetings = {"greeting before the first question": 2} if name == "sharegpt_gpt_first" else {}
    assert summary.reported == greetings


def test_reasoning_and_calls_are_kept_beside_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, thoughtful = build_case("msg_reasoning", tmp_path / "reasoning", monkeypatch)
    assert [row["messages"][-1]["reasoning_content"] for row in thoughtful] == ["17*20=340, 17*3=51"] * 2
    _, calling = build_case("msg_tool_calls", tmp_path / "calls", monkeypatch)
    calls = [json.loads(text) for row in calling for message in row["messages"] if (text := message["tool_calls"])]
    assert {call["id"] for [call] in calls} == {"a1"}
    called = sorted(f"{call['function']['name']} {call['function']['arguments']}" for [call] in calls)
    assert called == ["get_weather {'city': '서울'}", "w {}", "w {}", "w {}"]


def test_an_answer_of_weight_0_is_marked_as_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, [row] = build_case("msg_weight", tmp_path / "data", monkeypatch)
    assert [message["weight"] for message in row["messages"]] == [None, 0, None, None]


def test_a_missing_number_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, rows = build_case("pq_nan_input", tmp_path / "data", monkeypatch)
    assert (summary.kept, summary.rejected) == (5, {})
    assert all(row["messages"][0]["content"].endswith("?") for row in rows)


@pytest.mark.parametrize(("name", "count", "keys"), [("ids_not_unique", 4, 1), ("ids_restart_per_file", 6, 3)])
def test_rows_with_one_id_are_all_kept(
    name: str, count: int, keys: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, rows = build_case(name, tmp_path / "data", monkeypatch)
    assert (summary.kept, summary.rejected) == (count, {})
    names = {row["id"] for row in rows}
    assert len(names) == count
    assert len({name.rpartition("-")[0] for name in names}) == keys
