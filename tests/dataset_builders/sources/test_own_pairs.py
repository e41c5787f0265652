"""Pairs of the own model's answers are read from the one file that holds them, by ids that lead back to it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.build import build, current
from dataset_builders.manifest import Manifest
from dataset_builders.recipe import load_config
from dataset_builders.sources.own_pairs import PAIRS_FILE, PROVENANCE
from rabbit_ko.errors import UserError
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import OFF, read_rows, write_config, write_jsonl

ENTRY = {"source": "own_pairs", "path": "data/pairs/mine/sft"}


def own_pairs(count: int, better: str = "") -> list[dict[str, Any]]:
    """Pairs as `make pairs` leaves them; `better` stands behind each chosen answer."""
    beside = {name: f"{name} 0.5" for name in PROVENANCE}
    scores = {"chosen_score": 8.5, "rejected_score": 3.0}
    verdicts = [{"answers": [0], "score": 8.5, "text": "[[8.5]]"}]
    return [
        {
            "id": f"{number:016x}",
            "prompt": [{"role": "system", "content": "짧게"}, {"role": "user", "content": row["instruction"]}],
            "chosen": [{"role": "assistant", "content": row["output"] + better}],
            "rejected": [{"role": "assistant", "content": f"{number}번은 모르겠습니다."}],
            **(beside | scores | {"verdicts": verdicts}),
        }
        for number, row in enumerate(exchanges(count))
    ]


def write_pairs(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a folder of pairs, with what else is in one."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / PAIRS_FILE)
    write_jsonl(folder / "answers.jsonl", [{"chosen": "가", "rejected": "나", "prompt": "다", "id": "1"}])
    write_jsonl(folder / "dpo/train.jsonl", [{"chosen": "가", "rejected": "나", "prompt": "다", "id": "1"}])
    return folder / PAIRS_FILE


def build_pairs(**options: Any) -> Manifest:
    """Build `data` from the pairs in this folder."""
    config = write_config(Path("data.yaml"), ENTRY, **{"quality": OFF, "test_size": 0.1, **options})
    return build(load_config(config), "data/mine")


def test_the_file_of_pairs_alone_is_read_and_each_row_leads_back_to_its_pair(in_tmp: Path) -> None:
    pairs = {f"own_pairs/{row['id']}": row for row in own_pairs(30)}
    write_pairs(Path(str(ENTRY["path"])), list(pairs.values()))
    [source] = build_pairs().sources
    assert (source.read, source.kept, source.rejected, source.input_files) == (30, 30, {}, 1)
    assert (source.unread_columns, source.notes, source.path) == ([], [], f"{ENTRY['path']}/{PAIRS_FILE}")
    rows = read_rows(Path("data/mine"), "dpo")
    assert {row["id"] for row in rows} == pairs.keys()
    assert all(row[side] == pairs[row["id"]][side] for row in rows for side in ("prompt", "chosen", "rejected"))
    assert rows[0].keys() == {"id", "source", "prompt", "chosen", "rejected"}


def test_a_pair_without_an_id_is_rejected_since_nothing_would_lead_back_to_it(in_tmp: Path) -> None:
    rows = own_pairs(5)
    write_pairs(Path(str(ENTRY["path"])), [{name: row[name] for name in row if name != "id"} for row in rows])
    with pytest.raises(UserError, match="no field `id`"):
        build_pairs()


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("data/pairs/mine/sft", "make pairs RECIPE=mine STAGE=sft"),
        ("data/pairs/mine/dpo-1/pairs.parquet", "make pairs RECIPE=mine STAGE=dpo-1"),
        ("elsewhere/pairs", "make pairs RECIPE=... STAGE=..."),
        ("org/pairs", "make pairs RECIPE=... STAGE=..."),
    ],
)
def test_pairs_that_are_not_there_are_said_with_the_command_that_makes_them(
    in_tmp: Path, path: str, command: str
) -> None:
    config = write_config(Path("data.yaml"), {**ENTRY, "path": path}, quality=OFF)
    said = f"^{path.removesuffix('/pairs.parquet')}/pairs.parquet: no such file; run `{command}`, or .*`otherwise:`$"
    with pytest.raises(UserError, match=said):
        build(load_config(config), "data/mine")


def test_the_folder_and_its_file_are_the_same_and_what_else_is_in_it_may_change(in_tmp: Path) -> None:
    file = write_pairs(Path(str(ENTRY["path"])), own_pairs(10))
    build_pairs()
    write_jsonl(file.with_name("verdicts.jsonl"), [{"text": "8"}])
    named = write_config(Path("data.yaml"), {**ENTRY, "path": str(file)}, quality=OFF, test_size=0.1)
    assert current(load_config(named), "data/mine")
    write_pairs(file.parent, own_pairs(10, better=" 이상입니다."))
    assert not current(load_config(named), "data/mine")


def test_pairs_of_ones_own_model_have_the_license_that_their_owner_states(in_tmp: Path) -> None:
    write_pairs(Path(str(ENTRY["path"])), own_pairs(10))
    with pytest.raises(UserError, match="refuses `own_pairs`, which states no license"):
        build_pairs(license_policy="commercial")
    accepted = {**ENTRY, "license_accepted": "answers of this recipe's own model"}
    config = write_config(Path("data.yaml"), accepted, license_policy="commercial", quality=OFF)
    [source] = build(load_config(config), "data/mine").sources
    assert (source.license.name, source.license_accepted) == ("none stated", "answers of this recipe's own model")


@pytest.mark.parametrize("options", [{}, {"quality": {"hangul": {"min": 0.9}}}])
def test_no_pair_is_lost_to_its_language(in_tmp: Path, options: dict[str, Any]) -> None:
    pairs = own_pairs(20)
    for number, row in enumerate(pairs[:10]):
        row["prompt"] = [{"role": "user", "content": f"What is the capital of the country with number {number}?"}]
        row["chosen"][0]["content"] = f"Its capital is the town with the name of {'abcdefghij'[number] * 5}."
        row["rejected"][0]["content"] = f"I have no idea at all, number {number} is unknown to me."
    write_pairs(Path(str(ENTRY["path"])), pairs)
    [source] = build_pairs(**({"quality": {}} | options)).sources
    assert "too little Hangul" not in source.rejected
    assert source.kept + sum(source.rejected.values()) == 20
