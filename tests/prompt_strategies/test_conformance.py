"""What is found of chat templates: of axolotl's own, and of hostile ones, which are refused or lose their rows."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from prompt_strategies.conformance import check_template
from prompt_strategies.messages import Messages
from tests.prompt_strategies.conversations import answer, system, user
from tests.prompt_strategies.exactness import Compared, compare, saved
from tests.prompt_strategies.hostile_templates import HARMLESS, REFUSED, SOME_ROWS, hostile_tokenizer
from tests.prompt_strategies.native_templates import DROPS_ALL, DROPS_SYSTEM, MAKERS, Load

Native = Callable[[str], PreTrainedTokenizerBase]
TOOLS, REASONING = "writes tools, calls and results", "writes reasoning"
WITH_TOOLS = {
    *("exaone4", "jamba", "llama3_2_vision", "llama4", "mistral_v2v3", "mistral_v3_tekken"),
    *("qwen3", "qwen3_own", "qwen3_5", "qwen_25"),
}
WITH_REASONING = {"qwen3_own"}
# Qwen3's without the thinking that it had; Metharme's without its end.
WRITTEN_OTHERWISE = {"metharme", "qwen3", "qwen3_own", "qwen3_5"}
PLAIN_TEXT = {"alpaca", "mistral_v1"}
HOSTILE = [(promise, name, template) for promise, kinds in REFUSED.items() for name, template in kinds.items()]
# A plain row, and others that have what a hostile template looks for.
ROWS: list[Messages] = [
    [user("몇 시예요?"), answer("세 시예요.")],
    [system("짧게 답해 주세요."), user("몇 시예요?"), answer("세 시예요.")],
    [user("몇 시예요?"), answer("세 시예요."), user("고마워요."), answer("천만에요.")],
    [user("날씨는 어때요?"), answer("오늘은 맑아요.")],
    [user("어떻게 답해요?"), answer("USER:\n와 ASSISTANT:\n를 쓰면 돼요.")],
]


def verdicts(tokenizer: PreTrainedTokenizerBase, verdict: str) -> set[str]:
    """The promises of which that is found."""
    return {finding.promise for finding in check_template(tokenizer) if finding.verdict == verdict}


@pytest.mark.parametrize(
    ("promise", "template"),
    [(promise, template) for promise, _, template in HOSTILE],
    ids=[f"{name}: {promise}" for promise, name, _ in HOSTILE],
)
def test_a_hostile_template_is_refused_by_the_promise_that_it_breaks(promise: str, template: str, load: Load) -> None:
    assert promise in verdicts(hostile_tokenizer(template, load), "broken")


@pytest.mark.parametrize("name", HARMLESS)
def test_a_template_that_breaks_nothing_trains_every_row(name: str, load: Load, tmp_path: Path) -> None:
    tokenizer = hostile_tokenizer(HARMLESS[name], load)
    assert verdicts(tokenizer, "broken") == set()
    assert verdicts(tokenizer, "rows") == {TOOLS, REASONING}
    assert through_all_doors(tokenizer, tmp_path) == Compared(len(ROWS), [], Counter())


@pytest.mark.parametrize("name", SOME_ROWS)
def test_rows_that_a_template_changes_are_dropped_with_the_reason_and_others_trained(
    name: str, load: Load, tmp_path: Path
) -> None:
    template, promise, why = SOME_ROWS[name]
    tokenizer = hostile_tokenizer(template, load)
    assert verdicts(tokenizer, "broken") == set()
    assert verdicts(tokenizer, "rows") == {TOOLS, REASONING, *([promise] if promise else [])}
    found = through_all_doors(tokenizer, tmp_path)
    assert found.mismatches == []
    assert set(found.dropped) == {why}
    assert 0 < found.dropped.total() < len(ROWS)


def through_all_doors(tokenizer: PreTrainedTokenizerBase, folder: Path) -> Compared:
    """What SFT, DPO and the chat template make of the rows."""
    return compare(tokenizer, saved(tokenizer, folder / "saved", "native"), ROWS, folder, "native")


@pytest.mark.parametrize("name", MAKERS)
def test_each_template_of_axolotl_is_told_what_it_keeps(name: str, native: Native) -> None:
    found = check_template(native(name))
    if name in DROPS_ALL:
        assert "broken" in {finding.verdict for finding in found}
        return
    expected = {
        TOOLS: name not in WITH_TOOLS,
        REASONING: name not in WITH_REASONING,
        "writes the system prompt": name in DROPS_SYSTEM,
        "what was said stays as it was": name in WRITTEN_OTHERWISE,
        "no text of a row begins a turn": name in PLAIN_TEXT,
    }
    said = {promise for promise, is_so in expected.items() if is_so}
    assert {finding.promise for finding in found if finding.verdict == "rows"} == said
    assert "broken" not in {finding.verdict for finding in found}


def test_generation_has_to_stop_at_the_end_of_a_turn(native: Native) -> None:
    tokenizer = native("llama3")
    end, other = tokenizer.convert_tokens_to_ids(["<|eot_id|>", "<|end_of_text|>"])
    for stops, verdict in (([other, end], "holds"), ([other], "broken"), ([], "broken")):
        assert (check_template(tokenizer, stops)[-1].promise, check_template(tokenizer, stops)[-1].verdict) == (
            "generation stops at EOS",
            verdict,
        )


def test_a_finding_shows_the_text_that_it_is_about(load: Load) -> None:
    for promise, _, template in HOSTILE:
        found = check_template(hostile_tokenizer(template, load))
        [finding] = [finding for finding in found if finding.promise == promise]
        assert finding.said
        assert "\n" not in finding.said
        assert finding.example or not template or promise in ("renders a conversation", "writes no date of today")
