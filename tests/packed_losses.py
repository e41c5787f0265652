"""Each token's loss in axolotl's packed batches, beside its loss in its row alone."""

from itertools import pairwise
from typing import Any

import torch

# A larger difference has to be found twice.
TWICE = 1e-5


def measure_packing(trainer: Any) -> dict[str, Any]:
    """Compare each token's loss in axolotl's packed batches with its loss in its row alone."""
    model = trainer.model.eval()

    def losses(batch: Any) -> Any:
        with torch.no_grad():
            _, output = trainer.compute_loss(model, dict(batch), return_outputs=True)
        return torch.nn.functional.cross_entropy(
            output.logits[0, :-1], batch["labels"][0, 1:], reduction="none", ignore_index=-100
        )

    packs = list(trainer.get_train_dataloader())
    # The rows of a pack one after the other, as if they were one text.
    broken = losses({**packs[0], "position_ids": torch.arange(packs[0]["input_ids"].shape[1])[None]})
    found: dict[str, Any] = {"rows": len(trainer.train_dataset), "packs": len(packs), "packed_rows": 0, "loss": 0.0}
    found["broken"] = (broken - losses(packs[0])).abs().max().item()
    for number, pack in enumerate(packs):
        together = losses(pack)
        starts = [*(pack["position_ids"][0] == 0).nonzero().flatten().tolist(), pack["input_ids"].shape[1]]
        for start, end in pairwise(starts):
            row = {name: pack[name][:, start:end] for name in ("input_ids", "labels")}
            if (row["labels"] == -100).all():
                continue  # padding behind the last row
            row["attention_mask"] = torch.ones_like(row["input_ids"])
            difference = (together[start : end - 1] - losses(row)).abs()
            if difference.max() > TWICE:
                # Once in many runs, on a busy machine, a pass is off by chance; a wrong mask is off in each.
                difference = (losses(pack)[start : end - 1] - losses(row)).abs()
            if difference.max() > found["loss"]:
                found["loss"] = difference.max().item()
                found["worst"] = {"pack": number, "start": start, "token": int(difference.argmax())}
            found["packed_rows"] += 1
    return found
