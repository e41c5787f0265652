"""The mix of the sources: weights and shares are met, by rows and by tokens, whatever the order and the workers."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from dataset_builders.build import build, current
from dataset_builders.manifest import Manifest, SourceSummary
from dataset_builders.mixing import _fit, _numbered
from dataset_builders.recipe import load_config, mix_size
from dataset_builders.verify import diff, verify
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from tests.dataset_builders.files import OFF, file_contents, read_rows, write_config, write_jsonl

Rows = list[dict[str, Any]]


def rows(name: str, count: int, words: int = 1) -> Rows:
    """Conversations with ids of their own and answers of up to `words` words."""
    return [
        {"id": f"{number}", "instruction": f"{name} {number}", "output": " ".join(["답"] * (1 + number % words))}
        for number in range(count)
    ]


def mixed(
    folder: Path, sources: dict[str, tuple[Rows, dict[str, Any]]], workers: int = 1, **options: Any
) -> Manifest:
    """Build sources of rows, each with its keys, and check that the sums hold."""
    entries = []
    for name, (some, entry) in sources.items():
        path = write_jsonl(folder / f"{name}.jsonl", some)
        entries.append({"source": "alpaca", "name": name, "path": str(path), **entry})
    config = write_config(folder / "data.yaml", *entries, **{"quality": OFF, "test_size": 0.0, **options})
    build(load_config(config), folder / "data", workers=workers)
    manifest = verify(str(folder / "data"))
    for source in manifest.sources:
        assert source.read == source.kept + sum(source.rejected.values())
        assert source.kept == sum(source.splits.values())
    return manifest


def train_rows(folder: Path) -> Rows:
    """The rows of the train shards, once each."""
    found = [row for row in read_rows(folder / "data", "sft") if row["source"]]
    assert len({row["id"] for row in found}) == len(found), "ids are unique"
    return found


def by_name(manifest: Manifest) -> dict[str, SourceSummary]:
    """The sources by their names."""
    return {source.name: source for source in manifest.sources}


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer that counts words."""
    counting = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    counting.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder = tmp_path_factory.mktemp("tokenizer")
    counting.save(str(folder / "tokenizer.json"))
    return folder


def words(row: dict[str, Any]) -> int:
    """What that tokenizer counts in a row."""
    return sum(len(message["content"].split()) for message in row["messages"])


@pytest.mark.parametrize(("weight", "repeats"), [(1, 0), (2, 100), (1.5, 50), (3.25, 225)])
def test_a_weight_repeats_every_train_row_and_the_rest_of_it_some(
    tmp_path: Path, weight: float, repeats: int
) -> None:
    [source] = mixed(tmp_path, {"a": (rows("가", 100), {"weight": weight})}).sources
    assert (source.kept, source.repeats, source.train_rows) == (100, repeats, 100 + repeats)
    times = Counter(row["id"].partition("#")[0] for row in train_rows(tmp_path))
    assert set(times.values()) <= {int(weight), int(weight) + 1}


def test_a_repeat_says_what_its_row_says_under_an_id_of_its_own_and_stands_elsewhere(tmp_path: Path) -> None:
    mixed(tmp_path, {"a": (rows("가", 50), {"weight": 3})}, rows_per_shard=40)
    found = {row["id"]: (place, row["messages"]) for place, row in enumerate(train_rows(tmp_path))}
    assert len(found) == 150
    for key, (_, messages) in found.items():
        assert messages == found[key.partition("#")[0]][1]
    apart = [abs(found[f"a/{number}"][0] - found[f"a/{number}#2"][0]) for number in range(50)]
    assert sum(apart) / len(apart) > 20, "copies are spread over all shards"


def test_a_higher_weight_repeats_the_rows_that_a_lower_one_does_and_more(tmp_path: Path) -> None:
    few, many = (
        {row["id"] for row in train_rows(tmp_path)}
        for weight in (1.3, 1.6)
        if mixed(tmp_path, {"a": (rows("가", 100), {"weight": weight})})
    )
    assert few < many


def test_test_rows_are_the_same_with_any_weight_and_never_repeated(tmp_path: Path) -> None:
    found = []
    for weight in (1, 2, 5):
        manifest = mixed(tmp_path, {"a": (rows("가", 200), {"weight": weight})}, test_size=0.2)
        test = [shard.file for shard in manifest.in_folder("sft") if "/test-" in shard.file]
        found.append([(tmp_path / "data" / file).read_bytes() for file in test])
        [source] = manifest.sources
        assert source.repeats == (weight - 1) * source.splits["train"]
    assert found[0] == found[1] == found[2]


def test_an_id_that_a_row_has_already_is_no_repeats_id(tmp_path: Path) -> None:
    some = [{"id": f"1{'#2' * number}", "instruction": "가", "output": f"{number}"} for number in range(3)]
    mixed(tmp_path, {"a": (some, {"weight": 2})})
    assert len(train_rows(tmp_path)) == 6
    again = [row for row in train_rows(tmp_path) if row["messages"][1]["content"] == "0"]
    assert {row["id"] for row in again} == {"a/1", "a/1#4"}


def test_sources_without_a_share_keep_all_rows_and_the_others_make_up_their_shares_of_the_mix(tmp_path: Path) -> None:
    manifest = mixed(
        tmp_path,
        {
            "rest": (rows("가", 500), {}),
            "many": (rows("나", 900), {"share": 0.3}),
            "few": (rows("다", 40), {"share": 0.2}),
        },
    )
    found = by_name(manifest)
    assert (found["rest"].train_rows, found["rest"].repeats) == (500, 0)
    assert (found["many"].train_rows, found["many"].rejected) == (300, {"over share": 600})
    assert (found["few"].train_rows, found["few"].kept) == (200, 40)
    assert [manifest.share(found[name]) for name in ("rest", "many", "few")] == [0.5, 0.3, 0.2]
    named = [row for row in read_rows(tmp_path / "data", "rejected") if row["reason"] == "over share"]
    assert {row["row"] for row in named} == {""}
    assert len(named) == 600


def test_where_every_source_has_a_share_the_scarcest_decides_and_nothing_is_repeated(tmp_path: Path) -> None:
    shares = {
        "a": (rows("가", 400), {"share": 0.5}),
        "b": (rows("나", 30), {"share": 0.1}),
        "c": (rows("다", 300), {"share": 0.4}),
    }
    found = by_name(mixed(tmp_path, shares))
    assert {name: source.train_rows for name, source in found.items()} == {"a": 150, "b": 30, "c": 120}
    assert not any(source.repeats for source in found.values())


def test_a_weight_counts_where_shares_are_of_the_whole_mix(tmp_path: Path) -> None:
    found = by_name(mixed(tmp_path, {"a": (rows("가", 100), {"weight": 3}), "b": (rows("나", 300), {"share": 0.25})}))
    assert {name: source.train_rows for name, source in found.items()} == {"a": 300, "b": 100}


def test_kinds_are_mixed_apart(tmp_path: Path) -> None:
    pairs = [{"prompt": f"{n}번", "chosen": "좋은 답", "rejected": "나쁜 답"} for n in range(30)]
    path = str(write_jsonl(tmp_path / "pairs.jsonl", pairs))
    chats = str(write_jsonl(tmp_path / "chats.jsonl", rows("가", 10)))
    more = str(write_jsonl(tmp_path / "more.jsonl", rows("나", 90)))
    entries: list[dict[str, Any]] = [
        {"source": "preference", "path": path, "weight": 2},
        {"source": "alpaca", "path": chats, "share": 0.1},
        {"source": "alpaca", "name": "more", "path": more},
    ]
    config = write_config(tmp_path / "data.yaml", *entries, quality=OFF, test_size=0.0)
    build(load_config(config), tmp_path / "data")
    assert [source.train_rows for source in verify(str(tmp_path / "data")).sources] == [60, 10, 90]


def test_test_rows_of_a_source_that_is_cut_are_cut_alike_and_none_is_new(tmp_path: Path) -> None:
    def build_with(**entry: Any) -> Manifest:
        return mixed(tmp_path, {"a": (rows("가", 500), {}), "b": (rows("나", 2_000), entry)}, test_size=0.2)

    before = by_name(build_with())["b"].splits
    all_tests = {row["id"] for row in read_rows(tmp_path / "data", "sft") if row["source"] == "b"}
    after = by_name(build_with(share=0.2))["b"].splits
    assert after["test"] / before["test"] == pytest.approx(after["train"] / before["train"], abs=0.05)
    assert {row["id"] for row in read_rows(tmp_path / "data", "sft") if row["source"] == "b"} < all_tests


@pytest.mark.parametrize("share", [0.1, 0.37, 0.8])
def test_shares_by_tokens_are_met_within_half_a_row(tmp_path: Path, tokenizer: Path, share: float) -> None:
    sources = {"a": (rows("가", 300, words=20), {}), "b": (rows("나", 700, words=9), {"share": share})}
    manifest = mixed(tmp_path, sources, mix_by="tokens", tokenizer=str(tokenizer))
    tokens = Counter[str]()
    for row in train_rows(tmp_path):
        tokens[row["source"]] += words(row)
    found = by_name(manifest)
    assert {name: source.tokens for name, source in found.items()} == tokens
    assert found["a"].train_rows == 300
    wanted = tokens["a"] * share / (1 - share)
    assert abs(tokens["b"] - wanted) <= (2 + 9) / 2
    assert manifest.share(found["b"], "tokens") == pytest.approx(share, abs=0.01)


def test_order_files_and_workers_change_nothing(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: dict[str, tuple[Rows, dict[str, Any]]]
    sources = {"a": (rows("가", 300, 9), {"weight": 1.7}), "b": (rows("나", 900, 5), {"share": 0.2})}
    sources["c"] = (rows("다", 20, 3), {"share": 0.3})
    options: dict[str, Any] = {
        "mix_by": "tokens",
        "tokenizer": str(tokenizer),
        "test_size": 0.1,
        "rows_per_shard": 100,
    }
    mixed(tmp_path / "once", sources, **options)
    monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_BYTES", 4_000)
    rng = random.Random(4)
    shuffled = {name: (rng.sample(some, len(some)), entry) for name, (some, entry) in sources.items()}
    mixed(tmp_path / "again", shuffled, workers=3, **options)
    once, again = (file_contents(tmp_path / name / "data") for name in ("once", "again"))
    assert once.pop("manifest.json") != again.pop("manifest.json"), "the manifest has the hash of the files"
    assert once == again
    assert not diff(str(tmp_path / "once/data"), str(tmp_path / "again/data"))


def test_another_mix_is_made_of_the_chunks_that_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dataset_builders.build.mix", interrupt)
        with pytest.raises(KeyboardInterrupt):
            mixed(tmp_path, {"a": (rows("가", 20), {"weight": 2})})
    monkeypatch.setattr("dataset_builders.pipeline.read_rows", interrupt)
    [source] = mixed(tmp_path, {"a": (rows("가", 20), {"weight": 4})}).sources
    assert source.train_rows == 80


def test_another_tokenizer_under_the_same_name_is_not_up_to_date(tmp_path: Path, tokenizer: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes((tokenizer / "tokenizer.json").read_bytes())
    mixed(tmp_path, {"a": (rows("가", 20), {})}, tokenizer=str(file))
    config = load_config(tmp_path / "data.yaml")
    assert current(config, tmp_path / "data")
    file.write_text(file.read_text(encoding="utf-8").replace("<unk>", "<none>"), encoding="utf-8")
    assert current(config, tmp_path / "data") is None


def test_a_share_that_needs_a_row_very_often_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"b: share 0.9 needs its 3 train rows 300 times; lower it") as raised:
        mixed(tmp_path, {"a": (rows("가", 100), {}), "b": (rows("나", 3), {"share": 0.9})})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("entries", "options", "message"),
    [
        ([{"weight": 0.5}], {}, "weight: 0.5 would drop rows, which is what `fraction: 0.5` does"),
        ([{"weight": 101}], {}, "less than or equal to 100"),
        ([{"share": 1}, {}], {}, "less than 1"),
        ([{"share": 0.5, "fraction": 0.5}, {}], {}, "share: decides by itself .* take `fraction` away"),
        ([{"share": 0.5, "max_samples": 5}, {}], {}, "take `max_samples` away"),
        ([{"share": 0.5, "weight": 2}, {}], {}, "take `weight` away"),
        ([{"share": 0.5}], {}, "`s0` is the only sft source"),
        ([{"share": 0.5}, {"share": 0.5}, {}], {}, "shares sum to 1, which leaves nothing for `s2`"),
        ([{"share": 0.5}, {"share": 0.4}], {}, "every sft source has one, and they sum to 0.9; make them sum to 1"),
        ([{}], {"mix_by": "tokens"}, "name one, `tokenizer: "),
        ([{}], {"mix_by": "words"}, "mix_by"),
    ],
)
def test_what_is_no_mix_is_refused_before_a_row_is_read(
    tmp_path: Path, entries: list[dict[str, Any]], options: dict[str, Any], message: str
) -> None:
    sources = [{"source": "alpaca", "name": f"s{place}", "path": "x", **one} for place, one in enumerate(entries)]
    with pytest.raises(UserError, match=message) as raised:
        load_config(write_config(tmp_path / "data.yaml", *sources, **options))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("./nowhere", None, "no such file; name a folder with a `tokenizer.json`"),
        ("broken.json", "{}", "not a `tokenizer.json`"),
    ],
)
def test_what_is_no_tokenizer_is_a_line(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        mixed(tmp_path, {"a": (rows("가", 5), {})}, tokenizer=name if content is None else str(tmp_path / name))


SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=60)


@given(SIZES, st.floats(0, 5_000))
def test_rows_fit_a_target_within_half_a_row_and_the_first_ones_stand_most_often(
    sizes: list[int], target: float
) -> None:
    times = _fit(np.array(sizes), target)
    assert abs((times * sizes).sum() - target) <= max(sizes) / 2 + 1e-6
    assert (np.diff(times) <= 0).all()
    assert times.max() - times.min() <= 1


@given(st.lists(SIZES, min_size=2, max_size=5), st.lists(st.floats(0.01, 0.9), min_size=2, max_size=5), st.booleans())
def test_shares_of_any_sources_are_met_within_a_row(
    sources: list[list[int]], wanted: list[float], all_: bool
) -> None:
    count = min(len(sources), len(wanted))
    parts = np.array(wanted[:count]) / sum(wanted[:count])
    shares = dict(list(enumerate(parts.tolist()))[0 if all_ else 1 :])
    amounts = {number: sum(sources[number]) for number in range(count)}
    total = mix_size(amounts, shares)
    for number, share in shares.items():
        reached = (_fit(np.array(sources[number]), share * total) * sources[number]).sum()
        assert abs(reached - share * total) <= max(sources[number]) / 2 + 1e-6
        assert not all_ or reached <= amounts[number]
    if not all_:
        assert amounts[0] == pytest.approx(total * parts[0])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_repeats_are_numbered_from_two(times: list[int]) -> None:
    some, numbers = _numbered(np.arange(len(times)), np.array(times))
    expected = [(row, number) for row, count in enumerate(times) for number in range(2, count + 1)]
    assert list(zip(some.tolist(), numbers.tolist(), strict=True)) == expected


def test_the_summary_says_shares_and_repeats_and_tokens_where_they_are_counted(
    tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [{"source": "alpaca", "name": name, "path": str(tmp_path / f"{name}.jsonl")} for name in "ab"]
    write_jsonl(tmp_path / "a.jsonl", rows("가", 30))
    write_jsonl(tmp_path / "b.jsonl", rows("나", 10, words=3))
    weighted = [entries[0], {**entries[1], "weight": 2}]
    said = []
    for name, sources, options in (("plain", entries, {}), ("mixed", weighted, {"tokenizer": str(tokenizer)})):
        config = write_config(tmp_path / f"{name}.yaml", *sources, quality=OFF, test_size=0.0, **options)
        with pytest.raises(SystemExit):
            main(["data", "--config", str(config), "--out", str(tmp_path / name)])
        said.append([" ".join(line.split()) for line in capsys.readouterr().out.splitlines()])
    assert said[0][1].endswith("escaped share")
    assert said[0][2:4] == ["sft a 30 30 30 0 0 0 0 0 75.0%", "sft b 10 10 10 0 0 0 0 0 25.0%"]
    assert said[1][1].endswith("escaped repeats share tokens of tokens")
    assert said[1][2:4] == ["sft a 30 30 30 0 0 0 0 0 0 60.0% 90 53.6%", "sft b 10 10 10 0 0 0 0 0 10 40.0% 78 46.4%"]
