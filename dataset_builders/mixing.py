"""The mix of the sources: what is over a source's share is dropped, and train rows are repeated; no test row is."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from dataset_builders.near_duplicates import Indices
from dataset_builders.pipeline import OVER_SHARE
from dataset_builders.recipe import DataConfig, SourceConfig, mix_size
from dataset_builders.sampling import draw
from dataset_builders.split import STATUSES, TEST, Repeats, Split
from rabbit_ko.errors import UserError

MOST_TIMES = 100

Sizes = npt.NDArray[np.int64]


def mix(split: Split, config: DataConfig) -> Split:
    """Bring the train rows of one kind to the sources' weights and shares. Raises UserError where that is no mix."""
    entries = {number: config.sources[number] for number in np.unique(split.sources).tolist()}
    if all(entry.weight == 1 and entry.share is None for entry in entries.values()):
        return split
    sample = split.column("sample")
    sizes = np.ones(len(sample), np.int64)
    if config.mix_by == "tokens":
        sizes = np.maximum(split.column("tokens").astype(np.int64), 1)
    ranked = {number: _ranked(split, number, sample) for number in entries}
    times = _times({number: sizes[rows] for number, rows in ranked.items()}, entries)
    _drop_over(split, ranked, times, sample)
    rows, number = (
        np.concatenate(parts) for parts in zip(*map(_numbered, ranked.values(), times.values()), strict=True)
    )
    split.repeats = _name(split, rows, number, config.seed)
    return split


def _ranked(split: Split, source: int, sample: npt.NDArray[np.uint64]) -> Indices:
    """Return the train rows of a source in the order in which sampling takes them, whatever their number."""
    kept = split.kept(source)
    return np.asarray(kept[np.lexsort((split.order[kept], sample[kept]))])


def _times(sizes: Mapping[int, Sizes], entries: Mapping[int, SourceConfig]) -> dict[int, Sizes]:
    """Return how often each train row of each source stands in the shards, 0 where it does not."""
    rows = {
        number: _fit(np.ones(len(some), np.int64), entries[number].weight * len(some))
        for number, some in sizes.items()
    }
    shares = {number: entry.share for number, entry in entries.items() if entry.share is not None}
    amounts = {number: int((rows[number] * some).sum()) for number, some in sizes.items()}
    total = mix_size(amounts, shares)
    for number, share in shares.items():
        if amounts[number] and share * total > MOST_TIMES * amounts[number]:
            often = f"its {len(sizes[number]):,} train rows {share * total / amounts[number]:,.0f} times"
            raise UserError(f"{entries[number].label}: share {share} needs {often}; lower it, or give it more rows")
        rows[number] = _fit(sizes[number], share * total)
    return rows


def _fit(sizes: Sizes, target: float) -> Sizes:
    """Return how often each of these rows has to stand for their sizes to sum to the target within half a row."""
    if not len(sizes):
        return sizes
    whole, rest = divmod(target, int(sizes.sum()))
    return int(whole) + (np.cumsum(sizes) - sizes / 2 <= rest).astype(np.int64)


def _drop_over(
    split: Split, ranked: Mapping[int, Indices], times: Mapping[int, Sizes], sample: npt.NDArray[np.uint64]
) -> None:
    """Drop the train rows that do not stand in the mix, and the same share of the source's test rows."""
    is_test = split.statuses == STATUSES.index(TEST)
    over = np.zeros(len(is_test), np.bool_)
    for number, rows in ranked.items():
        dropped = rows[times[number] == 0]
        split.drop(dropped, OVER_SHARE)
        if len(dropped):
            over |= is_test & (split.sources == number) & (sample >= sample[dropped[0]])
    if over.any() and (over == is_test).all():
        tests = np.flatnonzero(is_test)
        over[tests[np.lexsort((split.order[tests], sample[tests]))[0]]] = False
    split.drop(np.flatnonzero(over), OVER_SHARE)


def _numbered(rows: Indices, times: Sizes) -> tuple[Indices, Sizes]:
    """Return the rows that stand again, once for each time, with the number of the time: 2, 3, ..."""
    again = np.maximum(times, 1) - 1
    first = np.repeat(np.cumsum(again) - again, again)
    return np.repeat(rows, again), np.arange(len(first)) - first + 2


def _name(split: Split, rows: Indices, number: Sizes, seed: int) -> Repeats:
    """Give each repeat an id of its own, `<id>#<number>`, and that id's key; an id that a row has is skipped."""
    if not len(rows):
        return Repeats(rows, (), np.zeros(0, np.uint64))
    distinct, place = np.unique(rows, return_inverse=True)
    names = split.take(distinct, "id", "rows").to_pylist()
    step = int(number.max())
    while True:
        ids = tuple(map(_repeat_id, (names[each] for each in place.tolist()), number.tolist()))
        order = draw(seed, ids)["order"]
        if not (taken := np.isin(order, split.order)).any():
            return Repeats(rows, ids, order)
        number = np.where(taken, number + step, number)


def _repeat_id(name: str, number: int) -> str:
    return f"{name}#{number}"
