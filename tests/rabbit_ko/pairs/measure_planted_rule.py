"""Whether a rule that nothing but pairs of the model's own answers tell is learned from them, round by round.

    python -m tests.rabbit_ko.pairs.measure_planted_rule [ROUNDS]

copies the project, trains the smoke recipe's SFT there, and makes ROUNDS (2) rounds of DPO on pairs that a planted
rule judges: an answer must end with 요. Prints how many answers to prompts of no pair keep the rule, at each stage.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from dataset_builders.rows import Message
from rabbit_ko.evaluation.models import Sampling, generate, load_stage
from rabbit_ko.evaluation.stages import find_stage
from rabbit_ko.pairs.records import Answer, Prompt
from rabbit_ko.pairs.rules import ends, ends_with

WORD = "요"
N, TEMPERATURE, TOP_P, MAX_NEW_TOKENS = 8, 0.5, 0.9, 48
# No seed of the pairs' own answers.
SEED = 20_000
PAIRS = f"""
sampling: {{n: {N}, temperature: {TEMPERATURE}, top_p: {TOP_P}, max_new_tokens: {MAX_NEW_TOKENS}, batch_size: 256}}
judge:
  rules:
    - {{rule: rabbit_ko.pairs.rules.ends_with, word: {WORD}}}
pairing: {{margin: 1.0, max_length_ratio: 3.0}}
"""


@dataclass(frozen=True)
class Kept:
    """The share of answers that keep the rule, with its standard error over prompts."""

    share: float
    stderr: float
    answers: int

    def __str__(self) -> str:
        return f"{self.share:.3f} ± {self.stderr:.3f} of {self.answers:,} answers"


def plant(project: Path) -> None:
    """Let the rule judge the pairs of a project's smoke recipe."""
    (project / "axolotl_configs/smoke/pairs.yaml").write_text(PAIRS, encoding="utf-8")


def held_out(data: Path) -> list[list[Message]]:
    """Return the prompts of a data folder that no pair can come of: those of test rows, and of preferences."""
    asked = _prompts(data / "sft", "train-*")
    found = [*_prompts(data / "sft", "test-*"), *_prompts(data / "dpo", "*")]
    return [prompt for prompt in found if prompt not in asked]


def _prompts(folder: Path, names: str) -> list[list[Message]]:
    rows = [row for file in sorted(folder.glob(f"{names}.parquet")) for row in pq.read_table(file).to_pylist()]
    return [row["prompt"] if "prompt" in row else row["messages"][:-1] for row in rows]


def measure(stage: str, prompts: Sequence[list[Message]]) -> Kept:
    """Return how many fresh answers of a stage of the smoke recipe keep the rule and end by themselves."""
    model, tokenizer = load_stage(find_stage("smoke", stage))
    sampling = Sampling(N, TEMPERATURE, TOP_P, SEED)
    answers = generate(model, tokenizer, prompts, MAX_NEW_TOKENS, sampling)
    kept = np.array([_keeps(answer) for answer in answers]).reshape(len(prompts), N).mean(axis=1)
    return Kept(float(kept.mean()), float(kept.std(ddof=1)) / len(prompts) ** 0.5, len(answers))


def _keeps(answer: Any) -> float:
    said, prompt = Answer("", answer.text, not answer.is_cut), Prompt("", "", [])
    return ends(prompt, said) * ends_with(prompt, said, word=WORD)


def main() -> None:
    """Print the shares of SFT and of each round."""
    from tests.conftest import VENV, copy_project

    rounds = int(sys.argv[1]) if sys.argv[1:] else 2
    with TemporaryDirectory() as name:
        project = Path(name)
        copy_project(project)
        (project / ".venv").symlink_to(VENV)
        plant(project)
        for command in (["data"], ["sft"], ["pairs", "--rounds", str(rounds)]):
            rabbit = [sys.executable, "-m", "rabbit_ko.cli", *command]
            subprocess.run(rabbit, cwd=project, env={**os.environ, "PYTHONPATH": name}, check=True)
        os.chdir(project)
        prompts = held_out(Path("data/smoke"))
        for stage in ("sft", *(f"dpo-{place}" for place in range(1, rounds + 1))):
            print(f"{stage}: {measure(stage, prompts)}", flush=True)


if __name__ == "__main__":
    main()
