"""What the guard sees in the rows that axolotl has really prepared, and in the base, before a run starts."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from axolotl.integrations.base import PluginManager
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from axolotl_plugins.callbacks import LOG
from axolotl_plugins.checks.base_model import MERGED_ADAPTER, adapter_digest
from axolotl_plugins.checks.model_files import ADAPTER
from axolotl_plugins.guard import Guard
from axolotl_plugins.resume.identity import shards_fingerprint
from axolotl_plugins.run_folder import LOCK
from prompt_strategies import preferences, sft
from prompt_strategies.chat_template import chat_template
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.template import IIR
from prompt_strategies.tokens import encode
from rabbit_ko.recipes import GUARD
from tests.stages import load_on_cpu, put_weights, save_base

pytestmark = pytest.mark.usefixtures("smoke_recipe")


def rows_in_shards() -> int:
    """The rows that SFT trains on."""
    return sum(pq.read_metadata(file).num_rows for file in Path("data/smoke/sft").glob("train-*"))


def load_datasets(stage: str, preprocess: bool = True, **overrides: Any) -> Guard:
    """Let the guard load a stage's rows; returns it, with its counts."""
    cfg = load_on_cpu(stage, **overrides)
    guard = PluginManager.get_instance().plugins[GUARD]
    assert isinstance(guard, Guard)
    guard.load_datasets(cfg, preprocess=preprocess)
    return guard


def refusal(stage: str, **overrides: Any) -> str:
    """The one line with which the guard stops."""
    with pytest.raises(SystemExit) as error:
        load_datasets(stage, **overrides)
    [line] = str(error.value).splitlines()
    assert line.startswith(f"axolotl_configs/smoke/{stage}.yaml: ")
    return line


def test_sound_rows_are_all_checked_and_counted() -> None:
    counts = load_datasets("sft").counts["train"]
    assert counts["examples"] == counts["prepared"] == counts["checked"] > 100
    assert 0 < counts["trained"] < counts["tokens"]


def test_unchanged_rows_are_read_from_the_cache_and_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    load_datasets("sft")
    monkeypatch.setattr(sft, "to_columns", None)
    assert load_datasets("sft", preprocess=False).counts["train"]["checked"] > 100


def test_all_rows_are_checked_once_and_then_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl_plugins.checks.rows.SAMPLE", 10)
    checked = [load_datasets("sft", preprocess=False).counts["train"]["checked"] for _ in range(2)]
    assert checked == [rows_in_shards(), 10]
    # Axolotl prepares packed rows into a folder of their own beside the others.
    assert load_datasets("sft", preprocess=False, sample_packing=True).counts["train"]["checked"] == rows_in_shards()


def test_a_run_that_is_going_on_is_not_disturbed() -> None:
    folder = Path("runs/smoke/sft")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        assert "runs/smoke/sft is in use by another process; wait for its end" in refusal("sft", preprocess=False)


def test_too_many_rows_dropped_for_length_stop_the_run() -> None:
    line = refusal("sft", sequence_len=150)
    assert f"of {rows_in_shards()} rows are dropped; `make inspect` tells which and why" in line
    assert "Raise sequence_len (150) if they are too long, or guard_max_dropped" in line


def test_a_share_of_dropped_rows_can_be_allowed() -> None:
    counts = load_datasets("sft", sequence_len=250, guard_max_dropped=0.9).counts["train"]
    assert 0 < counts["dropped"] < counts["examples"]


def test_rows_that_axolotl_drops_for_their_length_are_not_taken_for_wrong_ones() -> None:
    counts = load_datasets("sft", min_sample_len=150, guard_max_dropped=0.9).counts["train"]
    assert 0 < counts["dropped"] < counts["examples"]
    assert load_datasets("sft", eval_sequence_len=200, guard_max_dropped=0.9).counts["test"]["dropped"] > 0


def test_a_length_into_which_no_row_fits_is_one_line() -> None:
    assert "{0} of {0} rows are dropped".format(rows_in_shards()) in refusal(
        "sft", sequence_len=8, guard_max_dropped=1.0
    )


def shift(table: pa.Table, by: int) -> pa.Table:
    """Move the mask's edge of each row."""
    rows = table.to_pydict()
    for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True):
        edge = labels.count(IGNORE_INDEX) + by
        labels[:] = [IGNORE_INDEX] * edge + ids[edge:]
    return pa.table(rows)


def edit(table: pa.Table, change: Any) -> pa.Table:
    """Change ids and labels of each row."""
    rows = table.to_pydict()
    pairs = [change(ids, labels) for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True)]
    rows["input_ids"], rows["labels"] = map(list, zip(*pairs, strict=True))
    rows["attention_mask"] = [[1] * len(ids) for ids in rows["input_ids"]]
    return pa.table(rows)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda table: shift(table, 1), "the mask does not end after '### Response:'"),
        (lambda table: shift(table, -1), "the mask does not end after '### Response:'"),
        (lambda table: shift(table, -10_000), "the trained tokens are not one span"),
        (
            lambda table: edit(table, lambda ids, labels: (ids, [*labels[:-2], IGNORE_INDEX, labels[-1]])),
            "the trained tokens are not one span",
        ),
        (
            lambda table: edit(table, lambda ids, labels: (ids[:-1], labels[:-1])),
            "the answer does not end with <|end_of_text|>",
        ),
        (
            lambda table: edit(table, lambda ids, labels: (ids[1:], labels[1:])),
            "there is no <|begin_of_text|> in front",
        ),
        (
            lambda table: edit(table, lambda ids, labels: (ids[:1] + ids, labels[:1] + labels)),
            "the control token <|begin_of_text|> stands within the row",
        ),
    ],
)
def test_a_broken_invariant_stops_the_run(monkeypatch: pytest.MonkeyPatch, broken: Any, message: str) -> None:
    to_columns = sft.to_columns
    monkeypatch.setattr(sft, "to_columns", lambda examples: broken(to_columns(examples)))
    line = refusal("sft")
    assert line.startswith("axolotl_configs/smoke/sft.yaml: train: row ")
    assert message in line


def test_ids_that_the_tokenizer_itself_does_not_have_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_id_off(tokenizer: Any, texts: Any, before: Any = (), after: Any = ()) -> Any:
        return [[*before, ids[0] + 1, *ids[1:], *after] for ids in encode(tokenizer, texts)]

    monkeypatch.setattr(sft, "encode_fast", one_id_off)
    assert "prepared as other tokens than the tokenizer itself has for it" in refusal("sft")


def test_the_offending_row_is_named_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    to_columns = sft.to_columns
    monkeypatch.setattr(sft, "to_columns", lambda examples: shift(to_columns(examples), 1))
    ids = [line["id"] for file in Path("data/smoke/sft").iterdir() for line in pq.read_table(file).to_pylist()]
    assert refusal("sft").split("row ")[1].split(":")[0] in ids


def test_an_eos_that_the_model_does_not_stop_at_is_refused(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    save_base(Path("runs/smoke/base"), smoke_tokenizer, eos_token_id=4)
    line = refusal("sft")
    assert "special_tokens.eos_token: '<|end_of_text|>' would be trained" in line
    assert "stops at '<|eot_id|>'" in line
    load_datasets("sft", special_tokens={"eos_token": "<|eot_id|>"})


@pytest.fixture
def merged(smoke_tokenizer: PreTrainedTokenizerBase) -> Path:
    """A finished SFT run on the smoke data, merged."""
    run = Path("runs/smoke/sft")
    run.mkdir(parents=True)
    (run / ADAPTER).write_bytes(b"adapter")
    entry = {"path": "data/smoke/sft"}
    (run / "run.json").write_text(json.dumps({"datasets": [{**entry, "fingerprint": shards_fingerprint(entry)}]}))
    save_base(run / "merged", smoke_tokenizer, **{MERGED_ADAPTER: adapter_digest(run)})
    return run / "merged"


def test_dpo_starts_from_the_merged_sft_model_of_this_data(merged: Path) -> None:
    counts = load_datasets("dpo").counts["train"]
    assert 2 * counts["examples"] == 2 * counts["prepared"] == counts["checked"] > 100


def test_pairs_that_trl_would_read_otherwise_stop_dpo(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferences, "_is_read_alike", lambda *_: True)
    monkeypatch.setattr("prompt_strategies.renderer.written_bos", lambda _: "<|eot_id|>")
    assert "the control token <|eot_id|> stands within the row" in refusal("dpo")


def test_dpo_from_a_model_that_is_no_merged_run_is_refused_unless_told_so(merged: Path) -> None:
    (merged.parent / "run.json").unlink()
    assert "is not a merged SFT model of this project" in refusal("dpo")
    load_datasets("dpo", guard_any_parent=True)


def test_dpo_from_a_merged_dpo_run_or_from_an_adapter_is_refused(merged: Path) -> None:
    run_file = merged.parent / "run.json"
    run = json.loads(run_file.read_text())
    run_file.write_text(json.dumps({**run, "config": {"rl": "dpo"}}))
    assert "is not a merged SFT model; run `make merge`" in refusal("dpo")
    run_file.write_text(json.dumps(run))
    put_weights(merged.parent / ADAPTER)
    shutil.copytree(merged, merged.parent, dirs_exist_ok=True)
    (merged.parent / "adapter_config.json").write_text("{}")
    assert "is not a merged SFT model; run `make merge`" in refusal("dpo", base_model="runs/smoke/sft")


def test_a_shard_that_changed_but_kept_its_time_is_read_anew() -> None:
    shard = next(Path("data/smoke/sft").glob("train-*"))
    time = shard.stat().st_mtime_ns
    before = load_on_cpu("sft")
    assert load_datasets("sft").counts["train"]["examples"] == rows_in_shards()
    table = pq.read_table(shard)
    pq.write_table(table.slice(0, 100), shard)
    os.utime(shard, ns=(time, time))
    assert load_datasets("sft", preprocess=False).counts["train"]["examples"] == 100
    assert load_on_cpu("sft").dataset_prepared_path != before.dataset_prepared_path


def test_dpo_from_a_merge_of_an_earlier_adapter_is_refused(merged: Path) -> None:
    (merged.parent / ADAPTER).write_bytes(b"a newer adapter")
    assert "was not merged from the adapter in runs/smoke/sft; remove it and run `make merge`" in refusal("dpo")


def test_dpo_after_sft_on_other_shards_is_refused(merged: Path) -> None:
    shutil.copy(next(Path("data/smoke/sft").iterdir()), "data/smoke/sft/train-00001-of-00002.parquet")
    assert "was trained on data/smoke/sft as it was before; run `make sft` again" in refusal("dpo")


def test_dpo_on_another_recipes_preferences_is_refused(merged: Path) -> None:
    shutil.copytree("data/smoke/dpo", "data/other/dpo")
    entry = {"path": "data/other/dpo", "split": "train", "type": "prompt_strategies.qir_dpo"}
    assert "was trained on data/smoke, and this run's rows are data/other's" in refusal("dpo", datasets=[entry])


def test_a_round_learns_from_pairs_of_its_own_recipes_answers(merged: Path) -> None:
    shutil.copytree("data/smoke/dpo", "data/pairs/smoke/sft/dpo")
    assert load_datasets("dpo-1").counts["train"]["checked"] > 100
    shutil.copytree("data/smoke/dpo", "data/pairs/other/sft/dpo")
    entry = {"path": "data/pairs/other/sft/dpo", "split": "train", "type": "prompt_strategies.qir_dpo"}
    assert "was trained on data/smoke, and this run's rows are data/other's" in refusal("dpo-1", datasets=[entry])


@pytest.mark.parametrize("beside", [(), ("sft",)])
def test_a_round_on_pairs_of_another_stages_answers_is_refused_unless_told_so(
    merged: Path, beside: tuple[str, ...]
) -> None:
    def entries() -> list[dict[str, str]]:
        folders = [f"data/pairs/smoke/{stage}/dpo" for stage in (*beside, "dpo-1")]
        return [{"path": folder, "split": "train", "type": "prompt_strategies.qir_dpo"} for folder in folders]

    for stage in ("sft", "dpo-1"):
        shutil.copytree("data/smoke/dpo", f"data/pairs/smoke/{stage}/dpo")
    said = "did not give the answers in data/pairs/smoke/dpo-1/dpo; a round learns from those of its parent"
    assert f"base_model: {merged} {said}, data/pairs/smoke/sft, or set" in refusal("dpo-1", datasets=entries())
    load_datasets("dpo-1", datasets=entries(), guard_any_parent=True)


def test_a_round_on_rows_that_are_no_pairs_of_a_stages_answers_is_told(
    merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree("data/smoke/dpo", "data/pairs/smoke/sft/dpo")
    told: list[str] = []
    monkeypatch.setattr(LOG, "info", lambda line, *_: told.append(line))
    load_datasets("dpo-1")
    load_datasets("dpo")
    assert not [line for line in told if line.startswith("datasets: ")]
    load_datasets(
        "dpo-1", datasets=[{"path": "data/smoke/dpo", "split": "train", "type": "prompt_strategies.qir_dpo"}]
    )
    assert [line for line in told if line.startswith("datasets: ")] == [
        "datasets: data/smoke/dpo are not pairs of the parent's own answers, which would be in data/pairs/smoke/sft"
    ]


def test_a_later_round_starts_from_the_round_before_it_alone(merged: Path) -> None:
    shutil.copytree("data/smoke/dpo", "data/pairs/smoke/dpo-1/dpo")
    assert "is not a merged DPO-1 model" in refusal("dpo-2", base_model=str(merged))
    shutil.copytree("runs/smoke/sft", "runs/smoke/dpo-1")
    run_file = Path("runs/smoke/dpo-1/run.json")
    config = {"rl": "dpo", "axolotl_config_path": "axolotl_configs/smoke/dpo-1.yaml"}
    run_file.write_text(json.dumps({**json.loads(run_file.read_text()), "config": config}))
    assert load_datasets("dpo-2").counts["train"]["checked"] > 100


def test_dpo_with_another_prompt_than_sft_is_refused(merged: Path) -> None:
    smoke = (merged / "chat_template.jinja").read_text()
    assert smoke != chat_template(IIR)
    (merged / "chat_template.jinja").write_text(chat_template(IIR))
    assert "was trained with another prompt than this stage's type asks for" in refusal("dpo")
