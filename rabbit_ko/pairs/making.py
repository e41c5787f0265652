"""A stage's pairs from start to end: prompts, answers, verdicts, pairs, shards; what has come is kept."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_builders.build import build, current
from dataset_builders.manifest import MANIFEST
from dataset_builders.prompt_sources import PROMPTS_FILE, PromptSources
from dataset_builders.recipe import DataConfig, SourceConfig, load_config, stand_ins
from dataset_builders.schemas import SCHEMAS
from dataset_builders.sources.own_pairs import PAIRS_FILE
from rabbit_ko import hashing, storage
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable
from rabbit_ko.evaluation.journal import digest, locked, mend
from rabbit_ko.evaluation.judge.asking import ATTEMPTS, Work
from rabbit_ko.evaluation.judge.figures import length_bias
from rabbit_ko.evaluation.records import PACKAGES, Model, model_of
from rabbit_ko.evaluation.stages import BASE, Stage, find_stage
from rabbit_ko.pairs.answers import Answers, plan_answers
from rabbit_ko.pairs.config import PairsConfig, read_pairs_config
from rabbit_ko.pairs.judges import make_judge
from rabbit_ko.pairs.output import (
    ANSWERS,
    JUDGED,
    RECORD,
    VERDICTS,
    PairsRecord,
    read_pairs_record,
    settings_of,
    write_tables,
)
from rabbit_ko.pairs.pairing import PAIR, Contest, Judged, count_answers, hold_contest, judge_contests
from rabbit_ko.pairs.prompts import Prompts, find_prompts
from rabbit_ko.pairs.records import Answer, Case, Judge, Prompt
from rabbit_ko.recipes import Recipe
from rabbit_ko.run_record import trained_files
from rabbit_ko.terminal import say
from rabbit_ko.training.status import check_current

# Of an answer without a reference, in characters.
USUAL = 500


@dataclass(frozen=True)
class Options:
    """Where the judge and the stage's model are served, if they are, and how many requests may be sent to them."""

    judge: Endpoint | None = None
    server: Endpoint | None = None
    max_requests: int | None = None


@dataclass(frozen=True)
class _Task:
    """All that pairs are made of."""

    stage: Stage
    model: Model
    server: Endpoint | None
    config: PairsConfig
    data: DataConfig
    judge: Judge
    prompts: Prompts
    folder: Path

    @property
    def made_of(self) -> dict[str, str]:
        """A hash of each thing that decides what the pairs are."""
        prompts = [vars(prompt) for prompt in self.prompts.taken]
        return {
            "model": digest([self.model.fingerprint, self.model.backend, self.model.name]),
            "template": self.stage.prompt,
            "prompts": digest([prompts, sorted(self.prompts.dropped.items())]),
            "license of prompts": digest([source.model_dump() for source in self.prompts.sources]),
            "judge": self.judge.fingerprint,
            **settings_of(self.config),
            "data": digest(self.shards.model_dump(mode="json")),
            "code": hashing.source_digest(Path(__file__).parent.rglob("*.py")),
        }

    @property
    def shards(self) -> DataConfig:
        """The config by which the pairs become shards: the recipe's, with the pairs as its only source."""
        pairs = SourceConfig(source="own_pairs", path=str(self.folder))
        return self.data.model_copy(
            update={"sources": [pairs], "license_policy": "any", "mix_by": "rows", "tokenizer": ""}
        )


def make_pairs(recipe: str, stage: str, options: Options) -> tuple[PairsRecord, bool]:
    """Make the pairs of a stage's answers, or resume; return what it came to, and whether there was anything to do.

    Raises UserError, and where the stage is not up to date before anything is asked or drawn.
    """
    place, found = Recipe(recipe), find_stage(recipe, stage)
    if found.name != BASE:
        check_current(place, found.name, f"pairs STAGE={found.name}")
    config, data = read_pairs_config(place), load_config(place.data_config)
    say(*stand_ins(config.prompts.sources), is_error=True)
    judge, model = make_judge(config.judge, options.judge), model_of(found, options.server)
    with locked(folder := place.pairs(found.name)):
        prompts = find_prompts(place, config.prompts, data)
        task = _Task(found, model, options.server, config, data, judge, prompts, folder)
        if record := _up_to_date(task):
            return record, False
        for journal in (ANSWERS, VERDICTS):
            mend(folder / journal)
        return _publish(task, _answer_and_judge(task, options)), True


def _up_to_date(task: _Task) -> PairsRecord | None:
    """Return the record of pairs that are what would be made now; otherwise say what is different of those there."""
    record = read_pairs_record(task.folder)
    if record is None:
        return None
    changed = [name for name, made in task.made_of.items() if record.made_of.get(name) != made]
    if not changed and _is_there(record, task):
        return record
    what = f"of another {', '.join(changed)}" if changed else "not as they were written"
    say(f"{task.folder}: pairs are {what}; made anew, with the answers and verdicts that still hold", is_error=True)
    return None


def _is_there(record: PairsRecord, task: _Task) -> bool:
    """Tell whether the files are those of the record, and it is of the run that there is."""
    places = {task.folder / name: sha256 for name, sha256 in record.files.items()}
    if any(not place.is_file() or hashing.file_digest(place) != sha256 for place, sha256 in places.items()):
        return False
    manifest = current(task.shards, task.folder)
    is_of_run = record.trained == trained_files(Path(task.stage.model))
    return is_of_run and manifest is not None and manifest.fingerprint == record.fingerprint


def _answer_and_judge(task: _Task, options: Options) -> list[Judged]:
    how, prompts, verdicts = task.config, task.prompts.taken, task.folder / VERDICTS
    answers = plan_answers(
        task.stage, task.server, task.model.fingerprint, prompts, how.sampling, task.folder / ANSWERS
    )
    asked = [prompt for prompt in prompts if prompt.id in answers.tokens]

    def contests() -> list[Contest]:
        return [hold_contest(prompt, answers.of(prompt), how.pairing) for prompt in asked]

    expected = [
        contest.case if len(contest.answers) == how.sampling.n else _unanswered(contest.prompt, how.sampling.n)
        for contest in contests()
    ]
    _announce(answers, task.judge.work(expected, verdicts), options)
    left = options.max_requests
    sent = answers.make(left)
    judged = judge_contests(task.judge, contests(), how.pairing, verdicts, None if left is None else left - sent)
    return judged + [Judged(prompt, answers.dropped[prompt.id]) for prompt in prompts if prompt.id in answers.dropped]


def _unanswered(prompt: Prompt, n: int) -> Case:
    """Return what a judge will be asked of answers that are not there yet, each as long as the reference."""
    text = prompt.reference or "-" * USUAL
    return prompt, [Answer("", f"{text} {place}", True) for place in range(n)]


def _announce(answers: Answers, verdicts: Work, options: Options) -> None:
    """Say what will be asked of servers, and see that they are there. Raises UserError where it is too much."""
    drawn = answers.work
    work = drawn + verdicts
    if not (answers.missing or work.requests):
        return
    parts = f"{drawn.requests:,} for answers, {verdicts.requests:,} for verdicts"
    if verdicts.requests:
        parts += f" or more, as one that cannot be read is asked for {ATTEMPTS} times at most"
    line = f"{work.requests:,} requests, of about {work.tokens:,} tokens: {parts}"
    if options.max_requests is not None and work.requests > options.max_requests:
        advice = "raise it, or lower `max_prompts` or `n` in pairs.yaml"
        raise UserError(f"MAX_REQUESTS={options.max_requests}: there may be {line}; {advice}")
    here = "" if answers.server else f"; {answers.missing:,} answers are drawn on this machine"
    say((line if work.requests else "no requests") + here, is_error=True)
    for endpoint, asked in ((options.server, drawn), (options.judge, verdicts)):
        if endpoint and asked.requests:
            check_reachable(endpoint)


def _publish(task: _Task, judged: Sequence[Judged]) -> PairsRecord:
    """Write the tables, the shards, and last the record. Raises UserError where there is no pair in the tables."""
    outcomes = Counter(each.outcome for each in judged)
    storage.remove(str(task.folder / RECORD))
    sampling = task.config.sampling.model_dump() | {"backend": task.model.backend, "served_as": task.model.name}
    provenance = {
        "stage": f"{task.stage.recipe}/{task.stage.name}",
        "model": task.model.fingerprint,
        "sampling": json.dumps(sampling, ensure_ascii=False),
        "judge": task.judge.name,
        "judge_fingerprint": task.judge.fingerprint,
    }
    files = write_tables(task.folder, judged, provenance)
    if not task.config.judge.rules and (bias := _find_bias(judged, task.config.pairing.max_length_bias)):
        _take_away(task.folder)
        raise UserError(
            f"{task.folder}: {task.judge.name} {bias}, so that its pairs would teach length; look at {JUDGED} there, "
            "then take another judge, or raise `max_length_bias` in pairs.yaml if that is right"
        )
    if not outcomes[PAIR]:
        _take_away(task.folder)
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()) if count)
        raise UserError(
            f"{task.folder}: of {len(judged):,} prompts none gave a pair: {said}; look at {JUDGED} there, and see "
            "`pairing` in pairs.yaml"
        )
    sources = PromptSources(sources=[*task.prompts.sources])
    storage.write(str(task.folder / PROMPTS_FILE), (sources.model_dump_json(indent=1) + "\n").encode())
    files[PROMPTS_FILE] = hashing.file_digest(task.folder / PROMPTS_FILE)
    manifest = build(task.shards, task.folder)
    [source] = manifest.sources
    record = PairsRecord(
        recipe=task.stage.recipe,
        stage=task.stage.name,
        model=task.model.fingerprint,
        trained=trained_files(Path(task.stage.model)),
        judge=task.judge.name,
        made_of=task.made_of,
        prompts=len(judged),
        rows=dict(sorted(task.prompts.dropped.items())),
        answers=count_answers(judged),
        outcomes=dict(sorted(outcomes.items())),
        shards={**source.splits, **source.rejected},
        files=files,
        fingerprint=manifest.fingerprint,
        versions=hashing.versions(PACKAGES),
    )
    storage.write(str(task.folder / RECORD), (record.model_dump_json(indent=1) + "\n").encode())
    return record


def _take_away(folder: Path) -> None:
    """Remove the pairs of earlier answers or verdicts, so that nothing trains on them as if they were of these."""
    for name in (PAIRS_FILE, PROMPTS_FILE, MANIFEST, *SCHEMAS):
        storage.remove(str(folder / name))


def _find_bias(judged: Sequence[Judged], most: float) -> str | None:
    """Return in words how clearly scores follow the length of answers, where that is beyond doubt above `most`."""
    found = length_bias(
        [(each.judgement.scores, [len(answer.text) for answer, _ in each.answers]) for each in judged]
    )
    if not found.interval or found.interval[0] <= most:
        return None
    low, high = found.interval
    return f"scores longer answers higher (correlation {found.value:.2f}, {low:.2f} to {high:.2f})"
