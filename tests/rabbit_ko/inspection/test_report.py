"""The report counts what the rows hold, shows the same rows in any order, and is a page that needs no other file."""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from transformers import PreTrainedTokenizerBase
from typer.testing import CliRunner

from dataset_builders.manifest import MANIFEST
from rabbit_ko.errors import UserError
from rabbit_ko.inspection.report import shards as report_shards
from rabbit_ko.inspection.report.__main__ import app
from rabbit_ko.inspection.report.collect import Report, collect
from rabbit_ko.inspection.report.page import render
from rabbit_ko.inspection.report.samples import draw_rows
from rabbit_ko.inspection.report.tokens import LoadedStage
from tests.rabbit_ko.inspection.report_folder import DPO, DROPPED, SFT, dropped, write_folder
from tests.stages import ROOT, load_on_cpu, save_base


@pytest.fixture
def data(in_tmp: Path) -> Path:
    """A folder with two SFT shards, one of DPO, and rejected rows."""
    return write_folder(Path("data/smoke"), [SFT[:15], SFT[15:]], [DPO], DROPPED)


@pytest.fixture
def stage(in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase) -> Callable[..., LoadedStage]:
    """Load the smoke recipe's SFT stage for the folder of `data`, which has no test split."""
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    save_base(in_tmp / "runs/smoke/base", smoke_tokenizer)

    def load(**overrides: Any) -> LoadedStage:
        cfg = load_on_cpu("sft", test_datasets=None, **overrides)
        return LoadedStage(Path("axolotl_configs/smoke/sft.yaml"), cfg, smoke_tokenizer)

    return load


def gather(data: Path, *loaded: LoadedStage, limit: int = 1_000, shown: int = 3) -> Report:
    return collect(data, list(loaded), limit, shown, lambda *_: None)


def text_of(page: str) -> str:
    """The words of a page, one space between them."""
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page.split("</head>")[1]).split()))


def test_tokens_are_those_of_the_stages_own_strategy(
    data: Path, stage: Callable[..., LoadedStage], smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    report = gather(data, stage())
    tokens = report.stages[0].tokens
    assert tokens
    prompts = [f"### Question:\n{row['messages'][0]['content']}\n\n### Response:\n" for row in SFT[:40]]
    answers = [row["messages"][1]["content"].strip() for row in SFT[:40]]
    expected = [
        len(smoke_tokenizer.encode(prompt, add_special_tokens=False)) + len(smoke_tokenizer.encode(answer)) + 1
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    assert smoke_tokenizer.encode("")[0] == smoke_tokenizer.bos_token_id
    assert tokens.splits["train"].lengths[:40].tolist() == expected
    assert tokens.packing
    assert 0.5 < tokens.packing.padded < 1
    assert "A sample" not in render(report)


def test_beyond_the_limit_the_rows_with_the_lowest_draws_are_tokenized_and_the_page_says_so(
    data: Path, stage: Callable[..., LoadedStage]
) -> None:
    every, some = (gather(data, stage(), limit=limit).stages[0].tokens for limit in (1_000, 7))
    assert every
    assert some
    lowest = np.sort(np.argsort(draw_rows(pa.array([row["id"] for row in SFT])))[:7])
    assert some.splits["train"].lengths.tolist() == every.splits["train"].lengths[lowest].tolist()
    page = text_of(render(gather(data, stage(), limit=7)))
    assert "A sample: 7 of the 41 rows of train, chosen by id" in page


def test_what_is_shown_does_not_depend_on_the_order_of_rows_batches_or_shards(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_shards, "BATCH", 4)
    twins = [dropped("same", "duplicate id", f"faq/{number}", "{}") for number in range(6)]
    one = gather(write_folder(Path("one"), [SFT], [DPO], [*DROPPED, *twins]))
    other = gather(write_folder(Path("other"), [SFT[30:][::-1], SFT[:30]], [DPO[::-1]], [*twins[::-1], *DROPPED]))
    for mine, its in zip(one.stages, other.stages, strict=True):
        assert mine.scan.shown.rows == its.scan.shown.rows
        assert {name: len(rows) for name, rows in mine.scan.shown.rows.items()} in ({"faq": 3}, {"pairs": 3})
    assert one.rejected.rows == other.rejected.rows
    assert one.pairs == other.pairs


def test_a_duplicate_is_shown_beside_the_row_that_was_kept(data: Path) -> None:
    report = gather(data, shown=5)
    [found], [missing] = report.pairs["exact duplicate"], report.pairs["near duplicate"]
    assert found.kept == SFT[-1]
    assert missing.kept is None
    page = text_of(render(report))
    assert "faq/long one kept system 짧게 답하세요. user 첫 질문" in page
    assert "The row that came first is not in the shards." in page


def test_the_page_says_what_became_of_every_row_and_under_which_terms(
    data: Path, stage: Callable[..., LoadedStage]
) -> None:
    report = gather(data, stage())
    page = text_of(render(report))
    assert "47 of 51 rows are kept, from 2 sources." in page
    assert "faq sft read 45 100.0% exact duplicate −1 2.2% near duplicate −1 2.2% no answer −1 2.2%" in page
    assert "faq too little Hangul 3 6.7%" in page
    assert "MIT stated at https://example.org/faq accepted: we wrote it yes yes" in page
    assert "none stated accepted: we wrote it not stated not stated" in page
    assert report.manifest.fingerprint in page
    assert "batches of 8, each padded to its longest row (this recipe)" in page
    assert "Not counted: no config of this stage was given." in page
    assert "faq/d faq Named only: its text is not stored." in page


def test_the_page_loads_nothing_and_text_of_a_row_is_no_markup(data: Path, stage: Callable[..., LoadedStage]) -> None:
    page = render(gather(data, stage()))
    assert page == render(gather(data, stage()))
    assert not re.search(r"<(script|link|img|iframe)|\b(src|href)=|@import|url\(", page)
    assert "&lt;script&gt;alert(1)" in page
    assert str(Path.cwd()) not in page


def test_a_folder_without_rows_still_has_a_page(in_tmp: Path) -> None:
    page = text_of(render(gather(write_folder(Path("data/none")))))
    assert "0 of 0 rows are kept" in page
    assert "faq sft read 0 0.0% kept 0 0.0%" in page
    assert page.count("No row.") == 3


def test_a_stage_that_reads_another_folder_is_refused(data: Path, stage: Callable[..., LoadedStage]) -> None:
    with pytest.raises(UserError, match=r"sft.yaml: it reads data/smoke/sft, and the page is about other/sft"):
        gather(write_folder(Path("other"), [SFT]), stage())


def _no_manifest(data: Path) -> None:
    (data / MANIFEST).unlink()


def _old_manifest(data: Path) -> None:
    manifest = json.loads((data / MANIFEST).read_text(encoding="utf-8"))
    (data / MANIFEST).write_text(json.dumps({**manifest, "schema_version": 1}), encoding="utf-8")


def _no_shard(data: Path) -> None:
    (data / "sft/train-00001-of-00002.parquet").unlink()


def _other_shard(data: Path) -> None:
    (data / "sft/train-00001-of-00002.parquet").write_bytes((data / "sft/train-00000-of-00002.parquet").read_bytes())


def _broken_shard(data: Path) -> None:
    (data / "sft/train-00001-of-00002.parquet").write_bytes(b"PAR1")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_manifest, "manifest.json: no such file"),
        (_old_manifest, "manifest.json: not a manifest of this version"),
        (_no_shard, "train-00001-of-00002.parquet: missing"),
        (_other_shard, "train-00001-of-00002.parquet: not the shard that manifest.json describes"),
        (_broken_shard, "train-00001-of-00002.parquet: broken parquet file"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_page(data: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(data)
    result = CliRunner().invoke(app, [str(data)])
    assert result.exit_code == 1
    [line] = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not (data / "report.html").exists()
    assert isinstance(CliRunner().invoke(app, [str(data), "--debug"]).exception, UserError)


def test_wrong_usage_exits_with_2(data: Path) -> None:
    assert CliRunner().invoke(app, [str(data), "--rows", "0"]).exit_code == 2
    assert CliRunner().invoke(app, []).exit_code == 2


@pytest.mark.slow
def test_the_command_counts_both_stages_before_any_training(
    data: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    save_base(Path("runs/smoke/base"), smoke_tokenizer)
    for name in ("sft", "dpo"):
        config = yaml.safe_load((ROOT / f"axolotl_configs/smoke/{name}.yaml").read_text(encoding="utf-8"))
        del config["test_datasets"]
        Path(f"{name}.yaml").write_text(yaml.safe_dump(config | {"eval_strategy": "no"}), encoding="utf-8")
    arguments = [str(data), "dpo.yaml", "sft.yaml", "--out", "page.html"]
    command = [sys.executable, "-m", "rabbit_ko.inspection.report", *arguments]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2_000:]
    page = text_of(Path("page.html").read_text(encoding="utf-8"))
    assert "the tokenizer of SFT's base, since DPO's base is not there yet" in page
    assert re.search(r"train 41 41 .*train 6 6 ", page)
    assert "None: axolotl does not pack preferences." in page
