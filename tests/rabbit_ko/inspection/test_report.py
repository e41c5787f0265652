"""The report counts what the rows hold, shows the same rows in any order, and is a page that needs no other file."""

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import PreTrainedTokenizerBase

from dataset_builders.build import build
from dataset_builders.manifest import MANIFEST, TokenizerInput, read_manifest
from dataset_builders.recipe import load_config
from rabbit_ko.cli import main
from rabbit_ko.inspection import shard_scan
from rabbit_ko.inspection.data_report import render_report
from rabbit_ko.recipes import Recipe
from tests.conftest import SAMPLES, sample_rows
from tests.dataset_builders.files import write_config, write_jsonl
from tests.interruptions import room_for
from tests.rabbit_ko.inspection.data_folder import DPO, REJECTED, SFT, rejected_row, write_folder
from tests.stages import ROOT, save_base

DATA = Path("data/smoke")
SMOKE = Recipe("smoke")


@pytest.fixture
def recipe(in_tmp: Path) -> Path:
    """The smoke recipe without its data and base; returns the folder of its configs."""
    shutil.copytree(ROOT / "axolotl_configs/smoke", in_tmp / "axolotl_configs/smoke")
    return in_tmp / "axolotl_configs/smoke"


@pytest.fixture
def data(recipe: Path) -> Path:
    """A folder with two SFT shards, one of DPO, and rejected rows; there is no test split."""
    for stage in ("sft", "dpo"):
        configure(recipe / f"{stage}.yaml", test_datasets=None, eval_strategy="no")
    return write_folder(DATA, [SFT[:15], SFT[15:]], [DPO], REJECTED)


@pytest.fixture
def base(in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase) -> Path:
    """The smoke recipe's base, without weights."""
    save_base(in_tmp / "runs/smoke/base", smoke_tokenizer)
    return in_tmp / "runs/smoke/base"


def configure(file: Path, **keys: Any) -> None:
    """Set keys of a YAML, or take out those that are None."""
    config = yaml.safe_load(file.read_text(encoding="utf-8")) | keys
    file.write_text(
        yaml.safe_dump({key: value for key, value in config.items() if value is not None}), encoding="utf-8"
    )


def report(rows: int = 0, samples: int = 3) -> str:
    """The page of the smoke recipe."""
    return render_report(SMOKE, rows, samples)


def text_of(page: str) -> str:
    """The words of a page, one space between them."""
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page.split("</head>")[1]).split()))


def lengths_of(sft: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> int:
    """The tokens of a row of one exchange, with BOS and EOS."""
    question, answer = (message["content"].strip() for message in sft["messages"])
    prompt = f"### Question:\n{question}\n\n### Response:\n"
    return 2 + sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in (prompt, answer))


def test_tokens_are_those_of_the_recipes_own_stages_before_any_training(
    data: Path, base: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    page = text_of(report(rows=1_000))
    lengths = sorted(lengths_of(row, smoke_tokenizer) for row in SFT[:40])
    assert f"train 41 41 {lengths[20]} " in page
    assert "Prompt and answer, as axolotl_configs/smoke/sft.yaml trains them" in page
    assert "batches of 8, each padded to its longest row (this recipe)" in page
    assert "the tokenizer of SFT's base, since DPO's base is not there yet" in page
    assert re.search(r"Prompt and longer answer, as axolotl_configs/smoke/dpo.yaml .* train 6 6 ", page)
    assert "None: axolotl does not pack preferences." in page
    assert "A sample" not in page


def test_beyond_the_limit_the_same_rows_are_tokenized_each_time_and_the_page_says_so(data: Path, base: Path) -> None:
    page = report(rows=7)
    assert "A sample: 7 of the 41 rows of train, chosen by id, the same ones each time." in text_of(page)
    write_folder(DATA, [SFT[30:][::-1], SFT[:30]], [DPO[::-1]], REJECTED[::-1])
    assert report(rows=7) == page


def test_what_is_shown_does_not_depend_on_the_order_of_rows_batches_or_shards(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_id = [rejected_row("same", "duplicate id", f"faq/{number}", "{}") for number in range(6)]
    write_folder(DATA, [SFT], [DPO], [*REJECTED, *same_id])
    page = report()
    assert page.count("faq/same") == 3
    shutil.rmtree(DATA)
    monkeypatch.setattr(shard_scan, "BATCH", 4)
    write_folder(DATA, [SFT[30:][::-1], SFT[:30]], [DPO[::-1]], [*same_id[::-1], *REJECTED])
    assert report() == page


def test_a_duplicate_is_shown_beside_the_row_that_was_kept(data: Path) -> None:
    page = text_of(report(samples=5))
    assert "exact duplicate faq 1 0" in page
    assert "faq/long one kept system 짧게 답하세요. user 첫 질문" in page
    assert "faq/nowhere (0.91 alike)" in page
    assert page.count("The row that it is a duplicate of is not in the shards.") == 1


def test_the_page_says_what_became_of_every_row_and_under_which_terms(data: Path) -> None:
    page = text_of(report())
    assert "47 of 51 rows are kept, from 2 sources." in page
    assert "faq sft read 45 100.0% exact duplicate −1 2.2% near duplicate −1 2.2% no answer −1 2.2%" in page
    assert "faq too little Hangul 3 6.7%" in page
    assert "MIT stated at https://example.org/faq accepted: we wrote it yes yes" in page
    assert "none stated accepted: we wrote it not stated not stated" in page
    assert "f1" * 32 in page
    assert "Not counted: ROWS=0" in page
    assert "faq/d faq Named only: its text is not stored." in page


def test_the_funnel_goes_from_read_to_kept_without_a_gap(data: Path) -> None:
    drawn = [tuple(map(float, bar)) for bar in re.findall(r"margin-left: ([\d.]+)%; width: ([\d.]+)%", report())]
    read, *dropped, kept = drawn[:6]
    assert read == (0, 100)
    assert [start for start, _ in [read, *dropped]][1:] == pytest.approx([97.78, 95.56, 93.33, 91.11])
    assert [start for start, _ in dropped] == pytest.approx([100 - 2.22 * place for place in (1, 2, 3, 4)], abs=0.02)
    assert kept == (0, 91.11)


def test_figures_say_what_their_bars_hold(data: Path) -> None:
    page = report()
    characters = sorted(sum(len(message["content"]) for message in row["messages"]) for row in SFT)
    assert f"Median {characters[20]}, 95% up to {characters[38]}, longest {characters[-1]} characters." in text_of(
        page
    )
    bars = re.findall(r'title="[^"]* characters: ([\d,]+) rows"', page)
    assert sum(map(int, bars)) == len(SFT) + len(DPO)
    assert 'title="2 exchanges: 1 rows"' in page
    assert "More than one in 2.4% of the rows; at most 2." in text_of(page)
    assert "Median 100%; below a half in 0.0% of the rows." in text_of(page)


def test_the_page_loads_nothing_and_text_of_a_row_is_no_markup(data: Path) -> None:
    page = report()
    assert page == report()
    assert not re.search(r"<(script|link|img|iframe)|\b(src|href)=|@import|url\(", page)
    assert "&lt;script&gt;alert(1)" in page
    assert str(Path.cwd()) not in page


def test_labelled_rows_have_a_part_of_the_page_with_their_labels(recipe: Path, tmp_path: Path) -> None:
    rows = [
        {"id": number, "prompt": f"질문 {number}", "completion": f"{label} 답 {number}", "label": label == "좋은"}
        for number, label in enumerate(("좋은", "나쁜", "좋은", "나쁜"))
    ]
    wanted = {"source": "labelled", "path": str(write_jsonl(tmp_path / "rows.jsonl", [*rows, rows[0] | {"id": 9}]))}
    quality = {"action": "off", "exact_duplicates": {"action": "reject"}}
    build(load_config(write_config(tmp_path / "data.yaml", wanted, quality=quality, test_size=0.0)), DATA)
    page = text_of(report(samples=5))
    assert "KTO" in page
    assert page.count("good 좋은 답") == page.count("bad 나쁜 답") + 1, (
        "the kept one of two that say the same is shown"
    )
    assert "labelled 4 50.0%" in page, "the share of good answers"
    assert "Not counted: ROWS=0, or no stage of the recipe trains on these rows." in page


def test_rows_with_tools_and_reasoning_are_shown_with_them(recipe: Path, tmp_path: Path) -> None:
    rows = [row | {"id": f"again {row['id']}"} for row in sample_rows("tools_ko")] + sample_rows("tools_ko")
    paths = {"messages": write_jsonl(tmp_path / "rows.jsonl", rows), "preference": SAMPLES / "tools_ko_dpo.jsonl"}
    entries = [{"source": source, "path": str(path)} for source, path in paths.items()]
    quality = {"action": "off", "exact_duplicates": {"action": "reject"}}
    build(load_config(write_config(tmp_path / "data.yaml", *entries, quality=quality)), DATA)
    page = text_of(report(samples=50))
    assert "tools get_weather, get_air_quality user 지금 부산 날씨 어때?" in page
    assert 'assistant, call get_weather {"city": "부산"} tool {"기온": 18, "하늘": "맑음"} assistant 부산은' in page
    assert "assistant, reasoning 17 × 20 = 340이고" in page
    assert 'chosen, call get_weather {"city": "전주"} rejected 전주는 아마' in page
    assert "assistant, call" in page.split("Duplicates reason")[1]


def test_a_folder_without_rows_still_has_a_page(recipe: Path) -> None:
    write_folder(DATA)
    page = text_of(report(rows=1_000))
    assert "0 of 0 rows are kept" in page
    assert "faq sft read 0 0.0% kept 0 0.0%" in page
    assert page.count("No row.") == 3


def test_rows_that_a_stage_reads_from_another_folder_are_not_counted(
    data: Path, base: Path, recipe: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    write_folder(Path("data/other"), [SFT])
    here, other = (
        {"path": f"data/{name}/sft", "split": "train", "type": "prompt_strategies.qir"} for name in ("smoke", "other")
    )
    configure(recipe / "sft.yaml", datasets=[here, other])
    assert "train 41 41" in text_of(report(rows=1_000))
    configure(recipe / "sft.yaml", datasets=[other])
    assert "Not counted: ROWS=0, or no stage of the recipe trains on these rows." in text_of(report(rows=10))


def _no_manifest() -> None:
    (DATA / MANIFEST).unlink()


def _old_manifest() -> None:
    manifest = json.loads((DATA / MANIFEST).read_text(encoding="utf-8"))
    (DATA / MANIFEST).write_text(json.dumps({**manifest, "schema_version": 1}), encoding="utf-8")


def _no_shard() -> None:
    (DATA / "sft/train-00001-of-00002.parquet").unlink()


def _other_shard() -> None:
    (DATA / "sft/train-00001-of-00002.parquet").write_bytes((DATA / "sft/train-00000-of-00002.parquet").read_bytes())


def _broken_shard() -> None:
    (DATA / "sft/train-00001-of-00002.parquet").write_bytes(b"PAR1")


def run_command(*arguments: str) -> object:
    """Run `rabbit report`; returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments])
    return ended.value.code


@pytest.mark.hostile
def test_without_room_for_a_page_the_old_one_stays(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (DATA / "report.html").write_text("old")
    with room_for(1_000):
        assert run_command("--rows", "0") == 1
    assert re.fullmatch(r"error: \S*report.html\S*: File too large.*\n", capsys.readouterr().err)
    assert (DATA / "report.html").read_text() == "old"
    assert [file.name for file in DATA.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_manifest, "manifest.json: no such file"),
        (_old_manifest, "manifest.json: of an earlier version; build the data again"),
        (_no_shard, "train-00001-of-00002.parquet: missing"),
        (_other_shard, "train-00001-of-00002.parquet: not the shard that manifest.json describes"),
        (_broken_shard, "train-00001-of-00002.parquet: broken parquet file"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_page(
    data: Path, spoil: Callable[[], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil()
    assert run_command() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not (data / "report.html").exists()


def test_a_base_that_is_not_there_is_one_line_that_says_what_to_do(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "runs/smoke/base is not there; run `make sft RECIPE=smoke` first; ROWS=0 makes the page without" in line
    assert run_command("--rows", "0", "--html", "page.html") == 0
    size = Path("page.html").stat().st_size
    assert capsys.readouterr().out == f"page.html: {size:,} bytes\n"


def test_wrong_usage_exits_with_2(data: Path) -> None:
    assert run_command("--rows", "-1") == 2
    assert run_command("data/smoke") == 2


def test_the_mix_shows_each_sources_share_of_its_kind_in_rows_and_in_tokens_where_they_are_counted(
    data: Path,
) -> None:
    assert (
        "The mix The train rows of each kind. source train rows share faq sft 41 100.0% pairs dpo 6 100.0%"
        in text_of(report())
    )
    manifest = read_manifest(str(data))
    faq, pairs = manifest.sources
    more = faq.model_copy(update={"name": "more", "splits": {"train": 100}, "repeats": 23, "tokens": 900})
    sources = [faq.model_copy(update={"tokens": 100}), more, pairs.model_copy(update={"tokens": 50})]
    counted = TokenizerInput(sha256="0" * 64, version="1")
    changed = manifest.model_copy(update={"sources": sources, "tokenizer": counted})
    (data / MANIFEST).write_text(changed.to_json(), encoding="utf-8")
    shown = text_of(report())
    assert "source train rows repeats share tokens share" in shown
    assert "faq sft 41 0 25.0% 100 10.0% more sft 123 23 75.0% 900 90.0% pairs dpo 6 0 100.0% 50 100.0%" in shown
