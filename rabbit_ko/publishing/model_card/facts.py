"""All that a card is written from: measured, read from files, and nothing else."""

from dataclasses import dataclass
from pathlib import Path

from dataset_builders.manifest import Manifest, SourceSummary
from rabbit_ko.evaluation.results.figures import StageResult, State
from rabbit_ko.evaluation.results.table import Table, make_table
from rabbit_ko.evaluation.stages import STAGES, Stage, find_stage
from rabbit_ko.publishing.dataset_card import HUB_LICENSES
from rabbit_ko.publishing.model_card.data import read_data
from rabbit_ko.publishing.model_card.names import check_trained, hub_id, is_adapter_of_the_hub
from rabbit_ko.publishing.model_card.runs import Run, read_runs
from rabbit_ko.recipes import CONFIGS

OTHER = "other"


@dataclass(frozen=True)
class Facts:
    """A stage, the runs that led to it, their data, and what was measured. license: by the hub's name."""

    stage: Stage
    runs: dict[str, Run]
    manifest: Manifest
    table: Table
    license: str

    @property
    def title(self) -> str:
        return f"{self.stage.recipe} {self.stage.name.upper()}"

    @property
    def base(self) -> str:
        """The model that the first run started from."""
        return next(iter(self.runs.values())).base_model

    @property
    def base_id(self) -> str | None:
        """The base model's name on the hub; None for one that was made on this machine."""
        return hub_id(self.base)

    @property
    def base_maker(self) -> str | None:
        """The script that makes the recipe's base model, where there is one."""
        script = CONFIGS / self.stage.recipe / "make_base_model.py"
        return str(script) if script.exists() else None

    @property
    def sources(self) -> list[SourceSummary]:
        """The sources of the stages that led to the model."""
        return [source for source in self.manifest.sources if source.stage in self.runs]

    @property
    def languages(self) -> list[str]:
        """The languages of the data, Korean first."""
        return sorted({source.language for source in self.sources}, key=lambda language: (language != "ko", language))

    @property
    def uses_lora(self) -> bool:
        return any(run.config.get("adapter") in ("lora", "qlora") for run in self.runs.values())

    @property
    def is_adapter(self) -> bool:
        """Whether an adapter is what others can use; otherwise it is the merged model."""
        return is_adapter_of_the_hub(self.stage)

    @property
    def stale(self) -> list[StageResult]:
        """The results of earlier models, which are not this card's."""
        return self.table.in_state(State.STALE)


def gather(recipe: str, stage: str, license: str = "") -> Facts:
    """Read all that a stage's card is written from. Raises UserError where something is missing or does not fit."""
    found = find_stage(recipe, stage)
    check_trained(found)
    runs = read_runs(found)
    manifest = read_data(recipe, runs)
    table = make_table(recipe, tuple(name for name in STAGES if name == "base" or name in runs))
    facts = Facts(found, runs, manifest, table, license)
    return facts if license else Facts(found, runs, manifest, table, _license(facts))


def card_file(stage: Stage) -> Path:
    """Return the place of a stage's card."""
    return Path(stage.model) / "README.md"


def _license(facts: Facts) -> str:
    """Return the one license of the data under a base of one's own; of a base on the hub nothing is known here."""
    names = {source.license.name for source in facts.sources}
    if facts.base_id or len(names) != 1:
        return OTHER
    license: str = HUB_LICENSES.get(names.pop(), OTHER)
    return license
