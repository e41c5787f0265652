"""The arithmetic between what the meter has counted and what is shown."""

from typing import Any

import pytest
import torch

from rabbit_ko.benchmarks.training_meter import count_batch
from rabbit_ko.benchmarks.training_speed import figures, stage_table
from rabbit_ko.planning.plan import Measurement
from rabbit_ko.planning.stage import Stage
from rabbit_ko.planning.work import Rows, gpu_named, token_flops
from tests.rabbit_ko.planning.stages import stage

METERED = {
    "steps": [(100.0, 7, 7, 7, 7), (2.0, 800, 500, 250, 4), (3.0, 1200, 1000, 250, 6)],
    "reference": [],
    "device": "NVIDIA H100 80GB HBM3",
    "peak_bytes": 3 * 2**30,
}


def measured(planned: Stage | None = None, **changes: Any) -> dict[str, Any]:
    """What came of a stage, behind one step to warm up."""
    return figures(planned or stage(), Rows(7_200, "", 400, "", 500.0, None), METERED | changes, warmup=1)


def test_speed_drops_the_warm_up_and_counts_padding_apart() -> None:
    shown = measured()["figures"]
    assert [shown[name] for name in ("with padding", "tokens/s", "trained tokens/s", "rows/s")] == [400, 300, 100, 2]
    assert shown["padding"] == pytest.approx(0.25)


def test_projected_hours_are_rows_times_epochs_over_rows_a_second() -> None:
    assert measured()["figures"]["hours for 3 epochs"] == pytest.approx(3.0)


def test_a_reference_pass_costs_its_time_once_a_run() -> None:
    result = measured(stage(epochs=2.0), reference=[(0.0, 2), (50.0, 2), (51.0, 2), (52.0, 2)])
    assert result["speed"]["reference_seconds_per_row"] == 0.5
    # Ten rows in five seconds, and half of a reference pass for each row in each of two epochs.
    assert result["figures"]["rows/s"] == pytest.approx(10 / (5 + 10 * 0.25))
    assert Measurement.model_validate(result).hours(3600, 3, 1) == pytest.approx(3 * 0.5 + 0.5)


def test_utilisation_is_the_operations_of_all_positions_over_what_the_gpu_is_stated_to_do() -> None:
    assert measured()["figures"]["MFU"] == pytest.approx(400 * token_flops(stage(), 500.0) / 989e12)
    unknown = measured(device="CPU")["figures"]
    assert (unknown["MFU"], unknown["hours for 3 epochs"]) == (None, None)
    unlisted = measured(device="NVIDIA A10G")["figures"]
    assert (unlisted["MFU"], unlisted["hours for 3 epochs"]) == (None, pytest.approx(3.0))


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100 80 GB"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("NVIDIA A10G", None),
        ("CPU", None),
    ],
)
def test_a_gpu_is_known_by_the_name_that_cuda_gives_it(device: str, name: str | None) -> None:
    gpu = gpu_named(device)
    assert (gpu and gpu.name) == name


def test_a_batch_is_counted_by_its_padding_its_labels_and_its_ends() -> None:
    pad, eos = 0, 9
    ids = torch.tensor([[1, 2, 3, 9], [1, 4, 9, 0]])
    labels = torch.tensor([[-100, -100, 3, 9], [-100, -100, 9, -100]])
    assert [int(n) for n in count_batch({"input_ids": ids, "labels": labels}, pad, eos)] == [8, 7, 3, 2]
    pairs = {"input_ids": ids, "completion_mask": torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])}
    assert [int(n) for n in count_batch(pairs, pad, eos)] == [8, 7, 4, 1]


def test_the_table_has_a_dash_where_nothing_is_known() -> None:
    plain = measured(device="CPU")["figures"]
    steps = [(1.0, 7, 7, 7, 7), (1.0, 800, 500, 250, 4), (1.5, 1200, 1000, 250, 6)]
    fast = measured(steps=steps)["figures"] | {"MFU": 0.5, "hours for 3 epochs": 2}
    first, second = stage_table({"`a` sft": plain, "`a-fast` sft": fast}).splitlines()[2:]
    failed, alone = stage_table({"`a` sft": {}, "`a-fast` sft": fast}).splitlines()[2:]
    assert failed == "| `a` sft |" + " - |" * 9
    assert alone == second.replace("| 2.00 |", "| - |")
    assert first == "| `a` sft | 1.00 | 300 | 100 | 400 | 2.0 | 25.0% | - | 3.0 GiB | - |"
    assert second == "| `a-fast` sft | 2.00 | 600 | 200 | 800 | 4.0 | 25.0% | 50.0% | 3.0 GiB | 2.0 |"
