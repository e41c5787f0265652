"""A recipe's data from start to end: parts, the choice among their rows, shards, and the manifest, which is last."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dataset_builders import fingerprint
from dataset_builders.choose import SPLITS, Choice, RefinedPart, choose
from dataset_builders.executor import Executor, run
from dataset_builders.gates.contamination import Index, load_index, save_index
from dataset_builders.gates.settings import Contamination
from dataset_builders.inputs import Input, check_paths, contamination_index, find_input
from dataset_builders.lineage import summarize
from dataset_builders.manifest import Manifest, Shard, fingerprint_of
from dataset_builders.parts import PART_BYTES, Part
from dataset_builders.publish import check_out, locked, publish, shard_is_done
from dataset_builders.recipe import DataConfig
from dataset_builders.refine import refine
from dataset_builders.rows import Stage
from dataset_builders.shards import ShardTask, plan_rejected, plan_shards, write_shard
from dataset_builders.sources import SOURCES
from rabbit_ko import hashing
from rabbit_ko.storage import is_url, read_json

STAGES: tuple[Stage, ...] = ("sft", "dpo")

# What is being worked on, how many pieces of it are done, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PartTask:
    """A part to refine, and the folder for it, which is named after all that it depends on."""

    part: Part
    source: int
    folder: str
    config: DataConfig
    index: str


@dataclass(frozen=True)
class Finished:
    """A part that is refined, and its report."""

    part: RefinedPart
    report: dict[str, Any]


def build(
    config: DataConfig,
    out: str | Path,
    progress: Progress = lambda *_: None,
    workers: int = 1,
    executor: Executor = "processes",
) -> Manifest:
    """Build `out/{sft,dpo,rejected}/*.parquet` and, last, `out/manifest.json`; nothing shows before all is made.

    What an interrupted build has done is not done again. A folder whose bytes did not change keeps its files as they
    are. Raises UserError where a source cannot be read or leaves no row, or another build is at work in `out`.
    """
    out = str(out).removeprefix("file://")
    out = out if is_url(out) else str(Path(out).expanduser())
    check_paths(config)
    check_out(out)
    with locked(out) as work:
        inputs = [find_input(entry, f"{work}/inputs") for entry in config.sources]
        # A process takes a second to start, so a few files are read sooner in this one.
        workers = min(workers, 1 + sum(found.bytes for found in inputs) // PART_BYTES)
        run_all = partial(run, workers=workers, executor=executor)
        index, sets = contamination_index(config.quality, f"{work}/inputs")
        tasks = _part_tasks(config, inputs, _saved(index, config.quality.contamination, sets, work), sets, work)
        finished = _refine_all(tasks, run_all, progress)
        choices = {stage: choose(_parts_of(stage, finished, config), config) for stage in STAGES}
        summaries = summarize(config, inputs, [(done.part, done.report) for done in finished], choices)
        shards = _shard_tasks(config, choices, finished, work)
        made = _write_all(shards, run_all, progress)
        manifest = Manifest(
            fingerprint=fingerprint_of(made),
            config=config.model_dump(mode="json"),
            git_commit=hashing.git_commit(),
            versions=fingerprint.versions(),
            evaluation_sets=sets,
            sources=summaries,
            shards=made,
        )
        publish(manifest, shards, out)
    return manifest


def refine_part(task: PartTask) -> Finished:
    """Refine a part, or find it done."""
    report = read_json(f"{task.folder}/report.json")
    if report is None:
        index = load_index(task.index) if task.index else Index.empty()
        report = refine(task.part, task.config.sources[task.source], task.config, index, task.folder)
    return Finished(RefinedPart(task.folder, task.source, report["rows"]), report)


def _saved(index: Index, gate: Contamination, sets: dict[str, str], work: str) -> str:
    """Save the index for the workers; no name where there is nothing in it."""
    if not sets:
        return ""
    wanted = [known.model_dump() for known in gate.sets]
    path = f"{work}/inputs/evaluation-sets-{fingerprint.key(sets, wanted, gate.words, gate.letters)}"
    save_index(index, path)
    return path


def _part_tasks(
    config: DataConfig, inputs: Sequence[Input], index: str, sets: dict[str, str], work: str
) -> Iterator[PartTask]:
    """Yield a task for each part, while the files are read."""
    quality = config.quality.model_dump()
    seen = Counter[str]()
    for number, (entry, found) in enumerate(zip(config.sources, inputs, strict=True)):
        settings = entry.model_dump(exclude={"path", "max_samples"})
        for part in found.parts():
            rows = (part.start, part.end) if part.suffix == ".parquet" else (part.header.hex(), part.is_first)
            name = fingerprint.key(
                part.content, rows, number, settings, config.seed, config.system_prompt, quality, sets
            )
            # Parts with the same content have the same name; each has its rows.
            yield PartTask(part, number, f"{work}/parts/{name}-{seen[name]}", config, index)
            seen[name] += 1


def _refine_all(tasks: Iterator[PartTask], run: Any, progress: Progress) -> list[Finished]:
    """Refine all parts; the result is in the order of the parts' names, whatever the order of the files."""
    finished: list[Finished] = []
    known = 0

    def counted() -> Iterator[PartTask]:
        nonlocal known
        for task in tasks:
            known += 1
            yield task

    for done in run(refine_part, counted()):
        finished.append(done)
        progress("parts", len(finished), known)
    return sorted(finished, key=lambda done: done.part.folder)


def _parts_of(stage: Stage, finished: Sequence[Finished], config: DataConfig) -> list[RefinedPart]:
    return [done.part for done in finished if SOURCES[config.sources[done.part.source].source].stage == stage]


def _shard_tasks(
    config: DataConfig, choices: dict[Stage, Choice], finished: Sequence[Finished], work: str
) -> list[ShardTask]:
    parts = sorted(done.part.folder.rsplit("/", 1)[1] for done in finished)
    made_of = config.model_dump(exclude={"sources"}), [entry.max_samples for entry in config.sources], parts
    out = f"{work}/shards/{fingerprint.key(made_of)}"
    rows = config.rows_per_shard
    tasks = [
        task
        for stage, choice in choices.items()
        for split in SPLITS
        for task in plan_shards(choice, stage, split, out, rows)
    ]
    dropped = [done.part.folder for done in finished if done.report["rejected"]]
    return [*tasks, *plan_rejected(list(choices.values()), dropped, out, rows)]


def _write_all(tasks: list[ShardTask], run: Any, progress: Progress) -> list[Shard]:
    made = [shard for task in tasks if (shard := shard_is_done(task))]
    done = {shard.file for shard in made}
    progress("shards", len(made), len(tasks))
    left = sorted((task for task in tasks if task.file not in done), key=lambda task: -task.rows_read)
    for shard in run(write_shard, left):
        made.append(shard)
        progress("shards", len(made), len(tasks))
    return sorted(made, key=lambda shard: shard.file)
