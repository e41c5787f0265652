"""What the card says of training: `run.json` of every stage that led to the model."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.recipes import RUNS

RUN_FILE = "run.json"
HYPERPARAMETERS = (
    "adapter",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_target_linear",
    "rl",
    "rl_beta",
    "learning_rate",
    "lr_scheduler",
    "warmup_steps",
    "warmup_ratio",
    "optimizer",
    "weight_decay",
    "num_epochs",
    "micro_batch_size",
    "gradient_accumulation_steps",
    "batch_size",
    "sequence_len",
    "sample_packing",
    "bf16",
    "load_in_4bit",
    "attn_implementation",
    "deepspeed",
    "seed",
)
FIGURES = ("eval_loss", "eval_ppl", "eval_rewards/accuracies", "eval_rewards/margins")


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Git(_Read):
    """The commit that trained; nothing where there was no repository."""

    commit: str = ""
    changed: bool = False


class Device(_Read):
    """What it was trained on."""

    kind: str
    name: str
    processes: int


class Run(_Read):
    """A finished training run, as `run.json` has it."""

    config: dict[str, Any]
    git: Git = Git()
    versions: dict[str, str]
    device: Device
    datasets: list[dict[str, str]] = Field(default_factory=list)
    rows: dict[str, dict[str, int]]
    started: datetime
    ended: datetime
    # Of all attempts, where it was interrupted; earlier versions did not go on after that and have no such figure.
    worked: float | None = Field(default=None, alias="seconds")
    steps: int
    last_train_loss: float | None
    first_evaluation: dict[str, float]
    last_evaluation: dict[str, float]

    @property
    def seconds(self) -> float:
        """What training took, up to each checkpoint that it went on from, and from there to its end."""
        return (self.ended - self.started).total_seconds() if self.worked is None else self.worked

    @property
    def base_model(self) -> str:
        return str(self.config["base_model"])

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Those that are set, in the order in which people look for them."""
        there = {key: self.config.get(key) for key in HYPERPARAMETERS}
        return {key: value for key, value in there.items() if value is not None and value is not False}

    @property
    def figures(self) -> dict[str, tuple[float | None, float | None]]:
        """Each figure of the evaluation during training, at its first and last time."""
        there = [key for key in FIGURES if key in self.last_evaluation]
        return {key: (self.first_evaluation.get(key), self.last_evaluation[key]) for key in there}


def read_runs(stage: Stage) -> dict[str, Run]:
    """Read the runs that led to a stage's model, the first one first.

    Raises UserError where one is missing or damaged, or a later one started from an earlier model.
    """
    run = _read(stage.recipe, stage.name)
    before = RUNS / stage.recipe / "sft"
    if stage.name == "sft" or not run.base_model.startswith(f"{before}/"):
        return {stage.name: run}
    sft = _read(stage.recipe, "sft")
    if sft.ended > run.started:
        raise UserError(
            f"{stage.model}: was trained before {before} was trained anew; "
            f"run `make {stage.name} RECIPE={stage.recipe}` again"
        )
    return {"sft": sft, stage.name: run}


def _read(recipe: str, stage: str) -> Run:
    file = RUNS / recipe / stage / RUN_FILE
    try:
        return Run.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; run `make {stage} RECIPE={recipe}` first") from None
    except ValidationError:
        raise UserError(f"{file}: not what a finished run leaves; run `make {stage} RECIPE={recipe}` again") from None
