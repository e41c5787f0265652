"""A judge that is rules: named in YAML, summed by weight, known by its source; a rule that fails is one line."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.judge.asking import Work
from rabbit_ko.evaluation.judge.verdicts import Verdict
from rabbit_ko.pairs.judges import JudgeConfig, make_judge
from rabbit_ko.pairs.records import Judge
from tests.rabbit_ko.pairs.judges.cases import JOURNAL, case

OWN = "rabbit_ko.pairs.rules."
Write = Callable[[str], Path]


@pytest.fixture
def write(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module of rules of one's own."""
    monkeypatch.syspath_prepend(str(in_tmp))

    def written(text: str) -> Path:
        sys.modules.pop("my_rules", None)
        file = in_tmp / "my_rules.py"
        file.write_text(text, encoding="utf-8")
        return file

    return written


def rules(*entries: dict[str, Any]) -> Judge:
    return make_judge(JudgeConfig.model_validate({"rules": list(entries)}))


def test_the_score_is_the_weighted_sum_and_the_verdict_says_the_parts(in_tmp: Path) -> None:
    judge = rules({"rule": f"{OWN}hangul"}, {"rule": f"{OWN}within", "weight": 2, "most": 3})
    (found,) = judge.judge([case(0, ["네.", "yes", "아닙니다"])], JOURNAL, 0)
    assert found.scores == (3.0, 2.0, 1.0)
    assert found.verdicts[1] == Verdict((1,), 2.0, f"{OWN}hangul 0, {OWN}within 1")
    assert judge.name == "hangul + within"
    assert judge.work([case()], JOURNAL) == Work()
    assert not JOURNAL.exists()


def test_a_rule_of_ones_own_takes_arguments_from_the_yaml(write: Write) -> None:
    write("def polite(prompt, answer, ending='요'):\n    return answer.text.endswith(ending)\n")
    judge = rules({"rule": "my_rules.polite"}, {"rule": "my_rules.polite", "ending": "다", "weight": -0.5})
    assert judge.judge([case(0, ["네요", "네다", "네"])], JOURNAL, None)[0].scores == (1.0, -0.5, 0.0)


def test_the_fingerprint_is_of_source_weights_and_arguments(write: Write) -> None:
    source = "def one(prompt, answer, bonus=0):\n    return 1.0 + bonus\n"
    write(source)
    first = rules({"rule": "my_rules.one"}).fingerprint
    assert rules({"rule": "my_rules.one"}).fingerprint == first
    others = [rules({"rule": "my_rules.one", **more}).fingerprint for more in ({"weight": 2}, {"bonus": 1})]
    write(source.replace("1.0", "2.0"))
    assert len({first, *others, rules({"rule": "my_rules.one"}).fingerprint}) == 4


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"rule": "ends"}, r"rule: ends: names no function in a module; write `rabbit_ko\.pairs\.rules\.ends`"),
        ({"rule": f"{OWN}hangol"}, r"has no function of this name; did you mean `hangul`\?"),
        ({"rule": "no_such.mine"}, r"no_such cannot be imported: ModuleNotFoundError: .*; put no_such\.py beside"),
        ({"rule": "os.system"}, r"rule: os\.system: os has no function of this name"),
        ({"rule": f"{OWN}Fraction"}, "has no function of this name"),
        ({"rule": f"{OWN}ends_with"}, r"missing a required argument: 'word'; it takes \(prompt: .*, word: str\)"),
        ({"rule": f"{OWN}ends", "wrod": "다"}, "unexpected keyword argument 'wrod'; it takes"),
        ({"rule": "my_rules.broken"}, "my_rules cannot be imported: SyntaxError: "),
    ],
)
def test_a_rule_that_cannot_be_called_is_named_before_anything_is_judged(
    write: Write, entry: dict[str, Any], said: str
) -> None:
    write("def broken(:")
    with pytest.raises(UserError, match=said) as caught:
        rules(entry)
    assert "\n" not in str(caught.value)


def test_a_module_that_ends_the_program_where_it_is_imported_is_named(write: Write) -> None:
    write("raise SystemExit(0)")
    with pytest.raises(UserError, match="my_rules cannot be imported: SystemExit: 0"):
        rules({"rule": "my_rules.mine"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('점\\n수')", "raised KeyError: "),
        ("raise SystemExit(3)", "raised SystemExit: 3"),
        ("return 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("return float('nan')", "returned nan, which is no score"),
        ("return float('inf')", "returned inf, which is no score"),
        ("return None", "returned None, which is no score"),
        ("return 'good\\n'", "returned 'good.*', which is no score"),
        ("return [1.0]", r"returned \[1\.0\], which is no score"),
        ("return 1j", "returned 1j, which is no score"),
        ("return 10 ** 400", "raised OverflowError: int too large to convert to float"),
    ],
)
def test_a_rule_that_fails_is_one_line_with_its_name_and_the_prompts_id(write: Write, body: str, said: str) -> None:
    write(f"def mine(prompt, answer):\n    {body}\n")
    with pytest.raises(UserError, match=rf"^rule: my_rules\.mine: q/7: {said}") as caught:
        rules({"rule": "my_rules.mine"}).judge([case(7)], JOURNAL, None)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("; mend the rule")


@pytest.mark.parametrize("value", ["True", "1", "np.float32(0.5)", "np.int64(2)", "Fraction(1, 2)"])
def test_whatever_is_a_number_is_a_score(write: Write, value: str) -> None:
    write(f"from fractions import Fraction\nimport numpy as np\ndef mine(prompt, answer):\n    return {value}\n")
    score = rules({"rule": "my_rules.mine"}).judge([case(0, ["가"])], JOURNAL, None)[0].scores[0]
    assert type(score) is float
    assert score in (0.5, 1.0, 2.0)
