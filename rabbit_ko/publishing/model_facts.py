"""What a model card is written from: the runs that led to a stage's model, their data, and the measured figures."""

from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

from pydantic import AliasChoices, BaseModel, Field

from axolotl_plugins.checks.model_files import check_configs, trusts
from dataset_builders.manifest import MANIFEST, Manifest, SourceSummary, read_manifest
from rabbit_ko.documents import read_record
from rabbit_ko.errors import UnknownName, UserError
from rabbit_ko.evaluation.records import Result, State
from rabbit_ko.evaluation.results.table import Table, make_table
from rabbit_ko.evaluation.stages import Stage, adapter_base, find_stage
from rabbit_ko.hashing import listing_digest
from rabbit_ko.hub import hub_id
from rabbit_ko.licenses.bases import first_base, is_own
from rabbit_ko.methods import stage_method
from rabbit_ko.parity.report import ParityRecord, read_records
from rabbit_ko.publishing.terms import Terms, terms_of
from rabbit_ko.recipes import RUN_FILE, Recipe, find_recipe, is_built, read_config
from rabbit_ko.run_record import RunRecord, check_run, remedy, text_at


class Git(BaseModel):
    """The commit that a run was trained at, where there is one; changed: with changes that were not committed."""

    commit: str = ""
    changed: bool = False


class Device(BaseModel):
    """What a run was trained on."""

    kind: str
    name: str
    processes: int


class Counts(BaseModel):
    """Rows of a split, and their tokens. dropped: rows that were too long, `left_out` in earlier versions."""

    examples: int
    tokens: int
    trained: int
    dropped: int = Field(default=0, validation_alias=AliasChoices("dropped", "left_out"))


class Rows(BaseModel):
    """What a run was trained on, in numbers."""

    train: Counts


class Run(RunRecord):
    """A finished training run, as `run.json` has it.

    seconds: earlier versions of this project did not write it. chat_template_date: what a native chat template that
    asks for the day's date is given.
    """

    git: Git = Git()
    device: Device
    rows: Rows
    started: datetime
    ended: datetime
    seconds: float | None = None
    steps: int
    last_train_loss: float | None
    first_evaluation: dict[str, float]
    last_evaluation: dict[str, float]
    chat_template_date: date | None = None


class MadePairs(BaseModel):
    """What `pairs.json` says of the pairs beside it."""

    judge: str
    files: dict[str, str]


@dataclass(frozen=True)
class OwnAnswers:
    """The part of a run's rows that pairs of the recipe's own answers are.

    judges: by the stage that answered, who compared its answers; empty where its pairs were made anew since. is_all:
    whether there are no other rows.
    """

    judges: dict[str, str]
    is_all: bool


@dataclass(frozen=True)
class Facts:
    """What a card says of a stage; is_adapter: others can use the adapter as it is.

    runs: those that led to it. own: those of them that were trained on answers of the recipe's own stages. parity:
    what was compared with it.
    """

    recipe: Recipe
    stage: Stage
    runs: dict[str, Run]
    own: dict[str, OwnAnswers]
    manifest: Manifest
    sources: list[SourceSummary]
    base: str
    is_adapter: bool
    table: Table
    results: dict[str, Result]
    terms: Terms
    parity: dict[str, ParityRecord]

    @property
    def title(self) -> str:
        """What the card calls the model."""
        return self.terms.title(f"{self.recipe.name} {self.stage.name.upper()}")

    @property
    def has_own_base(self) -> bool:
        """Whether the recipe made its base itself."""
        return is_own(self.base)

    @property
    def is_own_template(self) -> bool:
        """Whether a native prompt is that of the base's own chat template, and not of one that the recipe names."""
        config = read_config(self.recipe.config(next(iter(self.runs))))
        return not (config.get("chat_template") or config.get("chat_template_jinja"))

    @property
    def template_date(self) -> date | None:
        """The date that the chat template writes in the place of the day's."""
        return self.runs[self.stage.name].chat_template_date

    @property
    def trusting(self) -> list[str]:
        """The stages in whose training code of others was allowed to run."""
        return [stage for stage, run in self.runs.items() if trusts(run.config)]


def gather(recipe_name: str, name: str, license: str = "") -> Facts:
    """Read all that a card is written from, by default of the last finished stage. Raises UserError."""
    recipe = find_recipe(recipe_name)
    stage = find_trained(recipe, name)
    runs = read_runs(recipe, stage.name)
    manifest, sources = read_data(recipe, runs)
    own = {name: found for name, run in runs.items() if (found := own_answers(recipe, name, run)).judges}
    table = make_table(recipe.name, ("base", *runs))
    base, adapter_is_on = str(next(iter(runs.values())).config["base_model"]), adapter_base(Path(stage.model))
    terms = terms_of(first_base(base), {source.name: source.license for source in sources}, license)
    results = {found.task: found for found in table.results[stage.name] if found.state is not State.STALE}
    is_adapter = adapter_is_on is not None and hub_id(adapter_is_on) is not None
    return Facts(
        recipe, stage, runs, own, manifest, sources, base, is_adapter, table, results, terms, read_records(stage)
    )


def find_trained(recipe: Recipe, name: str) -> Stage:
    """Return a stage with a finished run, by default the last. Raises UnknownName for the base, UserError."""
    stages = [method.name for method in recipe.methods] or ["sft"]
    if name == "base":
        raise UnknownName(f"STAGE=base: the base model is not this project's; say {' or '.join(stages)}")
    if not name and not recipe.finished:
        raise UserError(f"{recipe.runs}: no finished run; run `make {stages[0]} RECIPE={recipe.name}` first")
    stage = find_stage(recipe.name, name or recipe.finished[-1].name)
    check_configs(Path(stage.model), stage.trusted)
    check_run(Path(stage.model))
    return stage


def read_runs(recipe: Recipe, stage: str) -> dict[str, Run]:
    """Read the runs that led to a stage's model by stage, first to last. Raises UserError where they do not fit."""
    file, parent = recipe.run(stage) / RUN_FILE, stage_method(stage).parent
    command = f"`make {stage} RECIPE={recipe.name}`"
    if not file.exists():
        raise UserError(f"{file}: no such file; run {command} first")
    run = read_record(Run, file, remedy(file.parent))
    text_at(file, run.config, "base_model")
    if parent is None or not Path(run.config["base_model"]).is_relative_to(recipe.run(parent)):
        return {stage: run}
    before = read_runs(recipe, parent)
    if before[parent].ended > run.started:
        raise UserError(
            f"{recipe.run(stage)}: was trained before {recipe.run(parent)} was trained anew; run {command} again"
        )
    return {**before, stage: run}


def read_data(recipe: Recipe, runs: dict[str, Run]) -> tuple[Manifest, list[SourceSummary]]:
    """Return the manifest of a recipe's data, and the sources of all rows that runs were trained on.

    Rows that are not of that data, such as a round's pairs, have a manifest beside them. Raises UserError where one
    lists other shards than those that were trained on.
    """
    manifests, sources = {recipe.data: read_manifest(str(recipe.data))}, dict[tuple[Path, str, str], SourceSummary]()
    for stage, run in runs.items():
        built = {Path(entry.path): entry.fingerprint for entry in run.datasets if is_built(Path(entry.path))}
        for rows, trained in (built or {recipe.data / stage_method(stage).rows: ""}).items():
            manifest = manifests.setdefault(rows.parent, read_manifest(str(rows.parent)))
            shards = sorted((Path(shard.file).name, shard.sha256) for shard in manifest.in_folder(rows.name))
            if trained and trained != listing_digest(shards):
                raise UserError(
                    f"{rows.parent / MANIFEST}: lists other shards than those that {stage} was trained on; "
                    f"run `make {' '.join(runs)} RECIPE={recipe.name}`"
                )
            found = [source for source in manifest.sources if source.stage == rows.name]
            sources |= {(rows.parent, rows.name, source.name): source for source in found}
    return manifests[recipe.data], [*sources.values()]


def own_answers(recipe: Recipe, stage: str, run: Run) -> OwnAnswers:
    """Return which of a run's rows are pairs of the recipe's own answers. Raises UserError as `read_data` does."""
    _, sources = read_data(recipe, {stage: run})
    places = {Path(source.path).parent: source for source in sources if source.source == "own_pairs"}
    judges = {it.name: judge_of(it, source) for it, source in places.items() if it == recipe.pairs(it.name)}
    return OwnAnswers(judges, len(judges) == len(sources))


def judge_of(pairs: Path, source: SourceSummary) -> str:
    """Return who judged the pairs that a build has read; empty where they are not those that are in their folder now.

    Raises UserError where their record is damaged.
    """
    if not (pairs / "pairs.json").exists():
        return ""
    made = read_record(MadePairs, pairs / "pairs.json")
    # As the build has it: a hash over those of all files.
    is_read = sha256(made.files.get("pairs.parquet", "").encode()).hexdigest() == source.input_sha256
    return made.judge if is_read else ""
