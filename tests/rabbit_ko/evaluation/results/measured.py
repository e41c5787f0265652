"""Results of the small recipe that have a bit of everything: marks, gaps, other settings, a limit, stale figures."""

from math import sqrt
from statistics import fmean, stdev

from rabbit_ko.evaluation.judge.names import file_name
from rabbit_ko.evaluation.judge.questions import CATEGORIES
from rabbit_ko.evaluation.judge.scores import Row
from rabbit_ko.evaluation.judge.scores import samples as samples_of_rows
from rabbit_ko.evaluation.judge.scores import scores as scores_of
from rabbit_ko.evaluation.records import Score
from tests.rabbit_ko.evaluation.results.result_folder import put_result, retrain, samples_of

JUDGE = "org/judge-2"
BOOLQ = {"base": [0.0] * 30 + [1.0] * 10, "sft": [0.0] * 10 + [1.0] * 30, "dpo": [0.0] * 11 + [1.0] * 29}


def put_results() -> None:
    """Write all of them."""
    for stage, items in BOOLQ.items():
        put_result(stage, "kobest", [_mean("kobest_boolq", "acc", items)], samples_of("kobest_boolq", "acc", items))
    _put_gsm8k()
    put_result("base", "ifeval", [_score("ifeval", "inst_level_strict_acc", 0.25, None)], template=True, shots=0)
    put_result("sft", "ifeval", [_score("ifeval", "inst_level_strict_acc", 0.5, None)], template=True, shots=0)
    put_result("dpo", "ifeval", [_score("ifeval", "inst_level_strict_acc", 0.5, None)], template=False, shots=1)
    share = Score(task="haerae", metric="acc", value=0.2, stderr=0.01, low=0.1333, high=0.2888, items=100)
    put_result("sft", "haerae", [share], data="0123abcd")
    _put_logickor("sft", 5.0, missing=1)
    _put_logickor("dpo", 6.0, missing=0)
    _put_other_judges("dpo")


def _put_other_judges(stage: str) -> None:
    """A bench of one's own, whose judge gives five points, and a contest with the stage before."""
    scores = [
        Score(task=task, metric=metric, value=4.25, stderr=0.1, low=4.0, high=4.5, items=20)
        for task in ("요약", "total")
        for metric in ("turn 1", "turn 2", "overall")
    ]
    named = {"judge": JUDGE, "bench": "my-bench", "rubric": "/home/me/my_rubric.yaml"}
    put_result(stage, f"my-bench@{file_name(JUDGE)}", scores, scale=5, **named)
    won = Score(task="total", metric="win rate", value=0.625, low=0.4712, high=0.7574, items=40)
    named = {"judge": JUDGE, "bench": "logickor", "rubric": "logickor"}
    put_result(stage, f"logickor@{file_name(JUDGE)}.against-sft", [won], against="sft", **named)


def _put_gsm8k() -> None:
    metrics = ("exact_match,strict-match", "exact_match,flexible-extract")
    cut = "2 prompts were longer than the model's context and lost their beginning"
    for stage, values in {"base": (0.1, 0.2), "sft": (0.1, 0.3)}.items():
        scores = [_score("gsm8k", metric, value, 0.02) for metric, value in zip(metrics, values, strict=True)]
        put_result(stage, "gsm8k", scores, template=True, limit=100, notes=[cut] if stage == "sft" else [])
    put_result("dpo", "gsm8k", [_score("gsm8k", metrics[0], 0.4, 0.02)], template=True)
    put_result("sft", "gsm8k_ko", [_score("gsm8k_ko", metrics[0], 0.1, 0.02)], template=True)
    put_result("base", "gsm8k_ko", [_score("gsm8k_ko", metrics[0], 0.1, 0.02)], template=True, backend="openai")


def make_stale() -> None:
    """Train DPO anew, and measure all again but gsm8k; of KoBEST the items are not kept."""
    retrain("dpo")
    put_result("dpo", "ifeval", [_score("ifeval", "inst_level_strict_acc", 0.5, None)], template=False, shots=1)
    put_result("dpo", "kobest", [_mean("kobest_boolq", "acc", BOOLQ["dpo"])])
    _put_logickor("dpo", 6.0, missing=0)
    _put_other_judges("dpo")


def _mean(task: str, metric: str, items: list[float]) -> Score:
    return _score(task, metric, fmean(items), stdev(items) / sqrt(len(items)), len(items))


def _score(task: str, metric: str, value: float, stderr: float | None, items: int = 100) -> Score:
    return Score(task=task, metric=metric, value=value, stderr=stderr, items=items)


def _put_logickor(stage: str, level: float, missing: int) -> None:
    """Seven questions a category, the first of which miss a verdict on their second answer."""
    multi = [None] * missing + [level - 1 + number % 2 for number in range(missing, 42)]
    rows = [Row(str(number), CATEGORIES[number // 7], (level + number % 3, multi[number])) for number in range(42)]
    figures, items = scores_of(rows, ["single", "multi"]), samples_of_rows(rows, ["single", "multi"])
    put_result(stage, "logickor", figures, items, judge="judge-1", strategy="default")
