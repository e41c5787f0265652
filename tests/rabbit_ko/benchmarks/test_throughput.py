"""The arithmetic between what the meter has counted and what is shown."""

from dataclasses import replace

import pytest
import torch

from rabbit_ko.benchmarks.meter import count
from rabbit_ko.benchmarks.throughput import Steps, speed_of, utilisation
from rabbit_ko.benchmarks.train_table import Failed, Trained, stage_table
from rabbit_ko.planning.flops import stage_flops
from rabbit_ko.planning.gpus import GPUS, gpu_named
from tests.rabbit_ko.planning.stages import stage

STEPS = Steps(
    seconds=[100.0, 2.0, 3.0],
    positions=[7, 800, 1200],
    tokens=[7, 500, 1000],
    trained=[7, 250, 250],
    rows=[7, 4, 6],
    reference_seconds=[],
    reference_rows=[],
    gpus=1,
    device="NVIDIA H100 80GB HBM3",
    peak_bytes=3 * 2**30,
)


def test_speed_leaves_the_warm_up_out_and_counts_padding_apart() -> None:
    speed = speed_of(STEPS, warmup=1, epochs=3)
    assert (speed.positions, speed.tokens, speed.trained, speed.rows) == (400, 300, 100, 2)
    assert speed.padding == pytest.approx(0.25)
    assert speed.step_seconds == 2.5


def test_projected_hours_are_rows_times_epochs_over_rows_a_second() -> None:
    assert speed_of(STEPS, warmup=1, epochs=3).hours(rows=7200, epochs=3) == pytest.approx(3.0)


def test_a_reference_pass_costs_its_time_once_a_run() -> None:
    before = replace(STEPS, reference_seconds=[50.0, 1.0, 1.0, 50.0], reference_rows=[2, 2, 2, 2])
    speed = speed_of(before, warmup=1, epochs=2)
    assert speed.reference_seconds_per_row == 0.5
    # Ten rows in five seconds, and half of a reference pass for each row in each of two epochs.
    assert speed.rows == pytest.approx(10 / (5 + 10 * 0.25))
    assert speed.hours(rows=3600, epochs=3) == pytest.approx(3 * 0.5 + 0.5)


def test_utilisation_is_the_operations_of_all_positions_over_what_the_card_is_stated_to_do() -> None:
    speed, asked = speed_of(STEPS, warmup=1, epochs=3), stage()
    found = utilisation(asked, speed, 500.0, GPUS["h100"], gpus=2)
    assert found == pytest.approx(400 * stage_flops(asked, 500.0) / (2 * 989e12))
    assert utilisation(asked, speed, 500.0, None, gpus=2) is None


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
def test_a_card_is_known_by_the_name_that_cuda_gives_it(device: str, name: str | None) -> None:
    gpu = gpu_named(device)
    assert (gpu and gpu.name) == name


def test_a_batch_is_counted_by_its_padding_its_labels_and_its_ends() -> None:
    pad, eos = 0, 9
    ids = torch.tensor([[1, 2, 3, 9], [1, 4, 9, 0]])
    labels = torch.tensor([[-100, -100, 3, 9], [-100, -100, 9, -100]])
    assert [int(n) for n in count({"input_ids": ids, "labels": labels}, pad, eos)] == [8, 7, 3, 2]
    pairs = {"input_ids": ids, "completion_mask": torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])}
    assert [int(n) for n in count(pairs, pad, eos)] == [8, 7, 4, 1]


def test_the_table_has_a_dash_where_nothing_is_known() -> None:
    plain = Trained("a", "sft", speed_of(STEPS, 1, 3), None, STEPS.peak_bytes, None)
    fast = replace(
        plain, recipe="a-fast", speed=speed_of(replace(STEPS, seconds=[1, 1, 1.5]), 1, 3), mfu=0.5, hours=2
    )
    first, second = stage_table([plain, fast]).splitlines()[2:]
    failed, alone = stage_table([Failed("a", "sft", "no room"), fast]).splitlines()[2:]
    assert failed == "| `a` sft |" + " - |" * 9
    assert alone == second.replace("| 2.00 |", "| - |")
    assert first == "| `a` sft | 1.00 | 300 | 100 | 400 | 2.0 | 25.0% | - | 3.0 GiB | - |"
    assert second == "| `a-fast` sft | 2.00 | 600 | 200 | 800 | 4.0 | 25.0% | 50.0% | 3.0 GiB | 2.0 |"
