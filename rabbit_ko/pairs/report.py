"""A page about the pairs of a stage's answers: what the judge said of which answers, and how far to trust it."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.manifest import read_manifest
from dataset_builders.sources.own_pairs import PAIRS_FILE
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.intervals import Share, mean_of, share_of
from rabbit_ko.evaluation.judge.figures import length_bias, order_figures, win_rate
from rabbit_ko.inspection.pages import render, value_bars
from rabbit_ko.pairs.output import AGAIN, JUDGED, RECORD, read_pairs_record
from rabbit_ko.recipes import Recipe

SHOWN = 10
_ROWS = 500


@dataclass(frozen=True)
class Scored:
    """A prompt with what its answers came to, without their texts.

    scores, lengths: of each answer, in characters. pair: the places of the chosen and the rejected one.
    """

    id: str
    source: str
    outcome: str
    scores: Sequence[float | None]
    lengths: Sequence[int]
    verdicts: Sequence[tuple[tuple[int, ...], float | None]]
    pair: tuple[int, int] | None

    @property
    def margin(self) -> float:
        """How far the scores of a pair are apart."""
        assert self.pair
        chosen, rejected = (self.scores[place] for place in self.pair)
        return (chosen or 0.0) - (rejected or 0.0)


def render_pairs_report(recipe: Recipe, stage: str) -> str:
    """Return a page about the pairs of a stage's answers. Raises UserError where they are not made."""
    folder = recipe.pairs(stage)
    record = read_pairs_record(folder)
    if record is None:
        raise UserError(f"{folder}: no pairs; run `make pairs RECIPE={recipe.name} STAGE={stage}` first")
    prompts, sampling = [_scored(row) for row in _rows(folder)], _sampling(folder)
    pairs = sorted((prompt for prompt in prompts if prompt.pair), key=lambda prompt: (-prompt.margin, prompt.id))
    shown = {"widest": pairs[:SHOWN], "narrowest": pairs[: -SHOWN - 1 : -1]}
    texts = _texts(folder, {pair.id for pair in chain(*shown.values())})
    scores = [score for prompt in prompts for score in prompt.scores if score is not None]
    sides = {side: [_side(pair, place) for pair in pairs] for place, side in enumerate(("chosen", "rejected"))}
    return render(
        "report.html.jinja",
        folder=Path(__file__).parent,
        recipe=recipe.name,
        stage=stage,
        record=record,
        sampling=sampling,
        manifest=read_manifest(str(folder)),
        pairs=len(pairs),
        scores={"all answers": value_bars(scores), **{side: value_bars(values) for side, values in sides.items()}},
        margins=value_bars([pair.margin for pair in pairs]),
        orders=order_figures(prompt.verdicts for prompt in prompts),
        bias=length_bias([(prompt.scores, prompt.lengths) for prompt in prompts]),
        longer=_longer(pairs),
        sources=_by_source(prompts),
        shown={name: [(pair, texts[pair.id]) for pair in some] for name, some in shown.items()},
    )


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Raise UserError where a file is missing, cut or another one than was written."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{file}: no such file, though {RECORD} beside it is there; make the pairs again") from None
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: damaged: {reason(error)}; {AGAIN}") from None


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    with _reading(folder / JUDGED):
        for batch in pq.ParquetFile(folder / JUDGED).iter_batches(_ROWS):
            yield from batch.to_pylist()


def _sampling(folder: Path) -> dict[str, Any]:
    with _reading(folder / PAIRS_FILE):
        [sampling] = pq.read_table(folder / PAIRS_FILE, columns=["sampling"])["sampling"].unique().to_pylist()
        return dict(json.loads(sampling))


def _scored(row: dict[str, Any]) -> Scored:
    answers, pair = row["answers"], row["pair"]
    return Scored(
        row["id"],
        row["source"],
        row["outcome"],
        [answer["score"] for answer in answers],
        [len(answer["text"]) for answer in answers],
        [(tuple(verdict["answers"]), verdict["score"]) for verdict in row["verdicts"]],
        (pair[0], pair[1]) if pair else None,
    )


def _texts(folder: Path, wanted: set[str]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in _rows(folder) if row["id"] in wanted}


def _side(pair: Scored, place: int) -> float:
    assert pair.pair
    return pair.scores[pair.pair[place]] or 0.0


def _longer(pairs: Sequence[Scored]) -> Share:
    """Return in how many pairs the chosen answer is the longer one, of those whose lengths differ."""
    lengths = [tuple(pair.lengths[place] for place in pair.pair or ()) for pair in pairs]
    return share_of([chosen > rejected for chosen, rejected in lengths if chosen != rejected])


def _by_source(prompts: Sequence[Scored]) -> dict[str, dict[str, Any]]:
    """Return what the page says of the prompts of each source, and of all."""
    found: dict[str, list[Scored]] = {}
    for prompt in prompts:
        found.setdefault(prompt.source, []).append(prompt)
    lines = dict(sorted(found.items())) | ({"all": [*prompts]} if len(found) > 1 else {})
    return {source: _line(some) for source, some in lines.items()}


def _line(prompts: Sequence[Scored]) -> dict[str, Any]:
    pairs = [prompt for prompt in prompts if prompt.pair]
    return {
        "prompts": len(prompts),
        "pairs": len(pairs),
        "score": mean_of([score for prompt in prompts for score in prompt.scores if score is not None]),
        "margin": mean_of([pair.margin for pair in pairs]),
        "wins": mean_of([win_rate(pair.scores, pair.pair[0]) for pair in pairs if pair.pair]),
        "longer": _longer(pairs),
        "outcomes": Counter(prompt.outcome for prompt in prompts),
    }
