"""What the report measures, draws and packs, against counts by hand."""

import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from dataset_builders.licenses import License
from dataset_builders.rows import SCHEMAS
from rabbit_ko.inspection.report.figures import count_chart, length_chart, share_chart
from rabbit_ko.inspection.report.measure import measure
from rabbit_ko.inspection.report.packing import Packing, pack, padded_share
from rabbit_ko.inspection.report.page import clip, converted, funnel
from tests.rabbit_ko.inspection.report_folder import SFT, TWIN, dpo_row, sft_row, summary


def test_rows_are_measured_as_by_counting_them_one_by_one() -> None:
    rows = [
        sft_row("1", "사과 ABC 12", "네👍", instruction="한국어로."),
        sft_row("2", "ㅋㅋ 漢字", "é", "b", "c"),
        sft_row("3", "12", "?!"),
    ]
    measured = measure(pa.RecordBatch.from_pylist([SFT[0], *rows], SCHEMAS["sft"]).slice(1))
    assert measured.characters.tolist() == [5 + 9 + 2, 5 + 1 + 1 + 1, 2 + 2]
    assert measured.exchanges.tolist() == [1, 2, 1]
    assert measured.instruction.tolist() == [True, False, False]
    assert measured.hangul[:2] == pytest.approx([3 / 6, 2 / 7])
    assert np.isnan(measured.hangul[2])
    pair = measure(pa.RecordBatch.from_pylist([dpo_row("1", "질문", "abcd", "나쁜 답변")], SCHEMAS["dpo"]))
    assert (pair.characters.tolist(), pair.exchanges.tolist()) == ([2 + 5], [1])
    assert pair.hangul == pytest.approx([6 / 10])


def test_charts_hold_every_row_and_say_what_their_last_bar_holds() -> None:
    lengths = np.array([*range(1, 1_000), 91_329])
    chart = length_chart("x", lengths, "characters")
    assert sum(int(re.sub(r".*: |,| rows", "", bar.says)) for bar in chart.bars) == 1_000
    assert chart.caption == (
        "Median 500, 95% up to 950, longest 91,329 characters. The last bar holds all from 950 on."
    )
    assert "2 rows have no letters" in share_chart("x", np.array([0.2, 1.0, np.nan, np.nan]), "letters").caption
    assert [bar.label for bar in count_chart("x", np.array([1, 1, 3, 20]), "x", most=3).bars] == ["1", "2", "3+"]
    empty = np.zeros(0, np.int64)
    for nothing in (length_chart("x", empty, "x"), share_chart("x", empty / 1, "x"), count_chart("x", empty, "x")):
        assert (nothing.bars, nothing.caption) == ([], "No row.")


def test_the_funnel_goes_from_read_to_kept_without_a_gap() -> None:
    steps = funnel(summary("faq", "sft", 60, {"a": 30, "b": 10}, License()))
    assert [(step.kind, step.rows) for step in steps] == [
        ("read", 100),
        ("rejected", 30),
        ("rejected", 10),
        ("kept", 60),
    ]
    assert [step.start for step in steps] == pytest.approx([0.0, 0.7, 0.6, 0.0])
    assert [step.share for step in funnel(summary("faq", "sft", 0, {}, License()))] == [0.0, 0.0]


def test_packing_counts_what_is_no_padding() -> None:
    cfg = SimpleNamespace(
        seed=42, sequence_len=1_000, micro_batch_size=1, sample_packing=True, sample_packing_group_size=100_000,
        sample_packing_bin_size=200, sample_packing_sequentially=None, multipack_real_batches=True,
    )  # fmt: skip
    full, loose = pack(np.array([500, 500, 500, 500]), cfg), pack(np.array([600, 600, 600]), cfg)
    assert full == Packing(True, 1_000, 1, packed=1.0, rows_per_sequence=2.0, padded=1.0)
    assert loose == Packing(True, 1_000, 1, packed=0.6, rows_per_sequence=1.0, padded=1.0)
    cfg.micro_batch_size = 2
    assert pack(np.array([600]), cfg) == Packing(True, 1_000, 2, packed=None, rows_per_sequence=0.0, padded=1.0)
    assert pack(np.zeros(0, np.int64), cfg) is None
    assert padded_share(np.array([100, 300, 200]), 2) == 600 / 800


@pytest.mark.parametrize("text", ["{", "3", '{"messages": "가"}', '{"messages": [{"role": 1}]}', '{"question": []}'])
def test_a_raw_row_is_shown_as_it_is(text: str) -> None:
    assert converted(text) is None
    assert converted(TWIN) == {"messages": SFT[-1]["messages"]}


def test_a_long_text_is_cut_and_says_so() -> None:
    assert clip("가" * 401, 400) == "가" * 400 + " … and 1 characters"
    assert clip("가" * 400, 400) == "가" * 400
