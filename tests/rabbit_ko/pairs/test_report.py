"""The page about pairs says what was judged, shows those at both ends, and holds no markup but its own."""

import html
import re
from collections import Counter
from pathlib import Path

import pytest

from dataset_builders.build import build
from dataset_builders.recipe import DataConfig, SourceConfig
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.judge.verdicts import Judgement, Verdict
from rabbit_ko.pairs.output import RECORD, PairsRecord, write_tables
from rabbit_ko.pairs.pairing import PAIR, Candidate, Judged, count_answers
from rabbit_ko.pairs.records import Answer, Prompt
from rabbit_ko.pairs.report import render_pairs_report
from rabbit_ko.recipes import Recipe
from tests.conftest import ROOT

SMOKE = Recipe("smoke")
FOLDER = SMOKE.pairs("sft")
HOSTILE = "<script>alert(1)</script>"


def judged(number: int, margin: float, outcome: str = PAIR, said: str = "둘 다 읽었습니다.") -> Judged:
    """A prompt with two answers that were compared in both orders."""
    prompt = Prompt(
        f"faq/{number:02d}", ("faq", "mail")[number % 2], [{"role": "user", "content": f"질문 {number}?"}]
    )
    texts = [f"{number}번 질문의 답입니다. " * (2 + number % 3), f"모릅니다, {number}번은 {HOSTILE}"]
    answers = [Candidate(Answer(f"{number} {place}", text, True), "") for place, text in enumerate(texts)]
    verdicts = (Verdict((0, 1), 1.0, said), Verdict((1, 0), 0.0 if outcome == PAIR else 1.0, said))
    disagreed = frozenset([(0, 1)]) if outcome != PAIR else frozenset[tuple[int, int]]()
    judgement = Judgement((5 + margin, 5.0), verdicts, disagreed)
    return Judged(prompt, outcome, answers, judgement, (0, 1) if outcome == PAIR else None)


def put(found: list[Judged], judge: str = "the judge") -> None:
    """Write the folder of pairs as it is written when they are made."""
    about = {"stage": "smoke/sft", "model": "ab12", "judge": judge, "judge_fingerprint": "cd34"}
    files = write_tables(FOLDER, found, {**about, "sampling": '{"n": 2, "temperature": 0.7}'})
    manifest = build(
        DataConfig(sources=[SourceConfig(source="own_pairs", path=str(FOLDER))], license_policy="any"), FOLDER
    )
    record = PairsRecord(
        recipe="smoke",
        stage="sft",
        model="ab12",
        trained="gh78",
        judge=judge,
        made_of={"rubric": "ef56"},
        prompts=len(found),
        rows={"same prompt": 3},
        answers=count_answers(found),
        outcomes=Counter(each.outcome for each in found),
        shards={},
        files=files,
        fingerprint=manifest.fingerprint,
        versions={"torch": "2.13.0"},
    )
    (FOLDER / RECORD).write_text(record.model_dump_json(), encoding="utf-8")


@pytest.fixture
def recipe(in_tmp: Path) -> Path:
    """A working directory with the recipes."""
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    return in_tmp


def page_of(found: list[Judged], judge: str = "the judge") -> str:
    """The page about these."""
    put(found, judge)
    return render_pairs_report(SMOKE, "sft")


def text_of(page: str) -> str:
    """The words of a page, one space between them."""
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page.split("</head>")[1]).split()))


def test_every_prompt_answer_and_pair_is_counted_by_what_became_of_it(recipe: Path) -> None:
    words = text_of(page_of([*(judged(number, 1 + number) for number in range(9)), judged(9, 1, "disagreement")]))
    assert "9 of 10 prompts gave a pair; the judge is the judge." in words
    assert "prompts 10 prompts pair 9 90.0% disagreement 1 10.0%" in words
    assert "answers 20 answers ended 20 100.0%" in words
    assert "rows that gave no prompt 3 rows same prompt 3 100.0%" in words
    assert "pairs on the way to shards 9 pairs kept 9 100.0%" in words
    assert "faq 5 5 100.0%" in words
    assert "mail 5 4 80.0%" in words
    assert "temperature 0.7" in words
    assert "hash of the rubric ef56" in words


def test_orders_that_disagree_lower_the_agreement(recipe: Path) -> None:
    words = text_of(page_of([*(judged(number, 1) for number in range(6)), judged(7, 1, "disagreement")]))
    assert "verdicts on two answers that can be read 14 that cannot be read 0" in words
    assert "two answers judged in both orders 7 both orders agree 85.7% (48.7% to 97.4%)" in words
    assert "the answer that is seen first is the better one 57.1%" in words


def test_the_ten_widest_and_the_ten_narrowest_pairs_are_shown_with_their_verdicts(recipe: Path) -> None:
    page = page_of([judged(number, 1 + number, said=f"{number}번을 보았습니다.") for number in range(25)])
    widest, narrowest = (re.findall(r"<b>(faq/\d+)</b>", part) for part in page.split("The narrowest pairs"))
    assert widest == [f"faq/{number:02d}" for number in range(24, 14, -1)]
    assert narrowest == [f"faq/{number:02d}" for number in range(10)]
    words = text_of(page)
    assert "faq/24 faq, scores 30 and 5, margin 25 user 질문 24? chosen 24번 질문의 답입니다." in words
    assert (
        "verdict (chosen, rejected) 1: 24번을 보았습니다. verdict (rejected, chosen) 0: 24번을 보았습니다." in words
    )


def test_texts_are_texts_and_the_page_needs_no_other_file(recipe: Path) -> None:
    page = page_of([judged(number, 1, said=HOSTILE) for number in range(3)], judge=HOSTILE)
    assert HOSTILE not in page
    assert page.count(html.escape(HOSTILE)) >= 3
    assert not re.search(r"(?:src|href)=|url\(|@import", page)


def test_the_same_pairs_give_the_same_page_in_any_order(recipe: Path) -> None:
    found = [judged(number, 1) for number in range(12)]
    assert page_of(found) == page_of(found[::-1])


def test_a_long_text_is_cut_and_a_verdict_on_another_answer_is_not_shown(recipe: Path) -> None:
    long = judged(1, 1, said="가" * 5_000)
    other = Verdict((2,), 9.0, "다른 답변")
    judgement = Judgement((*long.judgement.scores, 9.0), (*long.judgement.verdicts, other))
    third = Candidate(Answer("1 2", "셋째 답", True), "")
    page = page_of([Judged(long.prompt, PAIR, [*long.answers, third], judgement, (0, 1))])
    assert "가" * 600 not in page
    assert "다른 답변" not in page


def test_the_command_writes_the_page_and_names_what_is_missing(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def report(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["report", "pairs", *arguments])
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    missing = "error: data/pairs/smoke/dpo-1: no pairs; run `make pairs RECIPE=smoke STAGE=dpo-1` first\n"
    assert report("--stage", "dpo-1") == (1, missing)
    assert report("--stage", "dpo-x")[0] == 2
    put([judged(1, 1)])
    code, said = report()
    assert (code, said.split(":")[0]) == (0, "data/pairs/smoke/sft/report.html")
    assert (FOLDER / "report.html").read_text(encoding="utf-8") == render_pairs_report(SMOKE, "sft")


def test_the_pairs_of_the_base_can_be_reported(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", "pairs", "--stage", "base"])
    assert ended.value.code == 1
    assert (
        "data/pairs/smoke/base: no pairs; run `make pairs RECIPE=smoke STAGE=base` first" in capsys.readouterr().err
    )
    put([judged(1, 1)])
    FOLDER.rename(SMOKE.pairs("base"))
    with pytest.raises(SystemExit) as ended:
        main(["report", "pairs", "--stage", "base"])
    assert ended.value.code == 0
    assert (SMOKE.pairs("base") / "report.html").exists()


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["judged.parquet", "pairs.parquet", "manifest.json"])
@pytest.mark.parametrize("size", [None, 0, 3, 100, -2, -100])
def test_a_file_that_is_missing_or_cut_is_one_line_with_the_remedy(recipe: Path, name: str, size: int | None) -> None:
    put([judged(1, 1)])
    file = FOLDER / name
    content = file.read_bytes()
    file.unlink() if size is None else file.write_bytes(content[:size])
    with pytest.raises(UserError, match=rf"{name}: .*(again|make)") as error:
        render_pairs_report(SMOKE, "sft")
    assert "\n" not in str(error.value)
