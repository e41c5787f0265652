"""The arithmetic between what the meter has counted and what is shown."""

from dataclasses import replace

import pytest
import torch

from rabbit_ko.benchmarks.training_meter import count_batch
from rabbit_ko.benchmarks.training_speed import Failed, Steps, Trained, speed_of, stage_table, utilisation
from rabbit_ko.planning.speed import GPUS, gpu_named, row_hours
from rabbit_ko.planning.work import Rows, token_flops
from tests.rabbit_ko.planning.stages import stage

STEPS = Steps(
    seconds=[100.0, 2.0, 3.0],
    positions=[7, 800, 1200],
    tokens=[7, 500, 1000],
    trained=[7, 250, 250],
    rows=[7, 4, 6],
    reference_seconds=[],
    reference_rows=[],
    device="NVIDIA H100 80GB HBM3",
    peak_bytes=3 * 2**30,
)


def test_speed_drops_the_warm_up_and_counts_padding_apart() -> None:
    speed = speed_of(STEPS, warmup=1, epochs=3)
    assert (speed.positions, speed.tokens, speed.trained, speed.rows) == (400, 300, 100, 2)
    assert speed.padding == pytest.approx(0.25)


def test_projected_hours_are_rows_times_epochs_over_rows_a_second() -> None:
    assert row_hours(7200, 3, speed_of(STEPS, warmup=1, epochs=3).seconds_per_row, 0.0) == pytest.approx(3.0)


def test_a_reference_pass_costs_its_time_once_a_run() -> None:
    before = replace(STEPS, reference_seconds=[50.0, 1.0, 1.0], reference_rows=[2, 2, 2, 2])
    speed = speed_of(before, warmup=1, epochs=2)
    assert speed.reference_seconds_per_row == 0.5
    # Ten rows in five seconds, and half of a reference pass for each row in each of two epochs.
    assert speed.rows == pytest.approx(10 / (5 + 10 * 0.25))
    assert row_hours(3600, 3, speed.seconds_per_row, speed.reference_seconds_per_row) == pytest.approx(3 * 0.5 + 0.5)


def test_utilisation_is_the_operations_of_all_positions_over_what_the_gpu_is_stated_to_do() -> None:
    speed, asked = speed_of(STEPS, warmup=1, epochs=3), stage()
    found = utilisation(asked, speed, 500.0, GPUS["h100"])
    assert found == pytest.approx(400 * token_flops(asked, 500.0) / 989e12)
    assert utilisation(asked, speed, 500.0, None) is None


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
    rows = Rows(10, "", 400, "", 400, None)
    speed = speed_of(STEPS, 1, 3)
    plain = Trained("a", "sft", "x", "CPU", 1, 3.0, None, None, "generated", [], rows, speed, STEPS)
    fast = replace(
        plain, recipe="a-fast", speed=speed_of(replace(STEPS, seconds=[1, 1, 1.5]), 1, 3), mfu=0.5, hours_3_epochs=2
    )
    first, second = stage_table([plain, fast]).splitlines()[2:]
    failed, alone = stage_table([Failed("a", "sft", "no room"), fast]).splitlines()[2:]
    assert failed == "| `a` sft |" + " - |" * 9
    assert alone == second.replace("| 2.00 |", "| - |")
    assert first == "| `a` sft | 1.00 | 300 | 100 | 400 | 2.0 | 25.0% | - | 3.0 GiB | - |"
    assert second == "| `a-fast` sft | 2.00 | 600 | 200 | 800 | 4.0 | 25.0% | 50.0% | 3.0 GiB | 2.0 |"
