"""How often a judge's fault is found out, and a judge without one accused: the figures of docs/judges.md.

python -m tests.rabbit_ko.evaluation.judge_check.measure_found_out
"""

import numpy as np

from rabbit_ko.evaluation.judge_check.measures import measure
from rabbit_ko.evaluation.judge_check.readings import readings
from tests.rabbit_ko.evaluation.judge_check.simulated import Simulated, items_of

QUESTIONS = (25, 100)
DRAWS = {25: 1_500, 100: 500}
FAULTS = {
    "0.5 points for a longer answer": ("length", Simulated(gains={"filler": 0.5})),
    "1 point": ("length", Simulated(gains={"filler": 1.0})),
    "1.5 points": ("length", Simulated(gains={"filler": 1.5})),
    "takes the first answer unseen in 10 % of comparisons": ("order", Simulated(first=0.1)),
    "in 20 %": ("order", Simulated(first=0.2)),
    "in 40 %": ("order", Simulated(first=0.4)),
    "none, and accused of any": ("", Simulated()),
}


def is_warned_of(judge: Simulated, group: str, questions: int, seed: int) -> bool:
    """Tell whether a judge that is simulated once is warned of, for a group's fault or for any."""
    measured = measure(judge.says(np.random.default_rng(seed), items_of(questions)))
    return any(reading.warns and group in ("", reading.group) for reading in readings(measured, None, 3))


if __name__ == "__main__":
    for fault, (group, judge) in FAULTS.items():
        shares = [
            np.mean([is_warned_of(judge, group, questions, seed) for seed in range(DRAWS[questions])])
            for questions in QUESTIONS
        ]
        print(f"{fault:54}", *(f"{share:6.1%} of {DRAWS[of]}" for share, of in zip(shares, QUESTIONS, strict=True)))
