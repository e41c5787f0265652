"""Packed by axolotl, with `sdpa`: each token's loss is what it is in a row of its own."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run


@pytest.mark.slow
def test_packing_does_not_change_the_loss_of_a_token(project: Path) -> None:
    command = [".venv/bin/python", "-m", "tests.test_packing"]
    result = run(project, *command, AXOLOTL_DO_NOT_TRACK="1", HF_HUB_OFFLINE="1")
    measured = json.loads(result.stdout.splitlines()[-1])
    assert measured["rows"] == measured["packed_rows"] > 100
    assert measured["packs"] < measured["rows"] / 3
    assert measured["largest_difference"] < 1e-5


def measure(folder: str) -> dict[str, Any]:
    """Compare the packed batches of axolotl's own trainer with their rows alone, in float32."""
    import torch
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets
    from axolotl.train import setup_model_and_trainer

    options = {"sample_packing": True, "micro_batch_size": 1, "output_dir": folder, "dataset_prepared_path": folder}
    cfg = load_cfg("axolotl_configs/smoke/sft.yaml", **options)
    loaded = load_datasets(cfg=cfg)
    trainer, model, *_ = setup_model_and_trainer(cfg, loaded)
    model.eval()
    assert model.dtype == torch.float32

    def losses(batch: Any) -> Any:
        with torch.no_grad():
            _, output = trainer.compute_loss(model, dict(batch), return_outputs=True)
        return torch.nn.functional.cross_entropy(
            output.logits[0, :-1], batch["labels"][0, 1:], reduction="none", ignore_index=-100
        )

    counts = {"rows": len(loaded.train_dataset), "packs": 0, "packed_rows": 0, "largest_difference": 0.0}
    for pack in trainer.get_train_dataloader():
        counts["packs"] += 1
        together = losses(pack)
        starts = [*(pack["position_ids"][0] == 0).nonzero().flatten().tolist(), pack["input_ids"].shape[1]]
        for start, end in pairwise(starts):
            row = {name: pack[name][:, start:end] for name in ("input_ids", "labels")}
            if (row["labels"] == -100).all():
                continue  # padding behind the last row
            alone = losses({**row, "attention_mask": torch.ones_like(row["input_ids"])})
            difference = (together[start : end - 1] - alone).abs().max().item()
            counts["largest_difference"] = max(counts["largest_difference"], difference)
            counts["packed_rows"] += 1
    return counts


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(scratch)), file=sys.stdout)
