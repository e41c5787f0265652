"""What the report measures, draws and packs, against counts by hand."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from dataset_builders.schemas import SCHEMAS, schema_of
from rabbit_ko.inspection.data_report import converted
from rabbit_ko.inspection.pages import Bar, bars, length_bars, percent
from rabbit_ko.inspection.shard_scan import lowest_draws, measure_messages
from rabbit_ko.inspection.token_lengths import Packing, pack
from tests.rabbit_ko.inspection.data_folder import SAME, SFT, dpo_row, sft_row


def test_rows_are_measured_as_by_counting_them_one_by_one() -> None:
    rows = [
        sft_row("1", "사과 ABC 12", "네👍", system_prompt="한국어로."),
        sft_row("2", "ㅋㅋ 漢字", "é", "b", "c"),
        sft_row("3", "12", "?!"),
    ]
    measured = measure_messages(pa.Table.from_pylist([SFT[0], *rows], SCHEMAS["sft"]).slice(1))
    assert measured["characters"].tolist() == [5 + 9 + 2, 5 + 1 + 1 + 1, 2 + 2]
    assert measured["exchanges"].tolist() == [1, 2, 1]
    assert measured["system_prompt"].tolist() == [True, False, False]
    assert measured["hangul"][:2] == pytest.approx([3 / 6, 2 / 7])
    assert np.isnan(measured["hangul"][2])
    pair = measure_messages(pa.Table.from_pylist([dpo_row("1", "질문", "abcd", "나쁜 답변")], SCHEMAS["dpo"]))
    assert (pair["characters"].tolist(), pair["exchanges"].tolist()) == ([2 + 5], [1])
    assert pair["hangul"] == pytest.approx([6 / 10])


def test_calls_and_reasoning_count_as_characters_and_what_tools_say_is_no_share_of_hangul() -> None:
    calling = {"role": "assistant", "content": "", "reasoning_content": "음음", "tool_calls": "[123]"}
    result = {"role": "tool", "content": "abcd", "tool_call_id": "c1"}
    row = sft_row("1", "가나")
    row["messages"] += [calling, result, {"role": "assistant", "content": "다a"}]
    extras = {"reasoning_content", "tool_calls", "tool_call_id"}
    measured = measure_messages(pa.Table.from_pylist([row], schema_of("sft", extras)))
    assert (measured["characters"].tolist(), measured["exchanges"].tolist()) == ([2 + 2 + 5 + 4 + 2], [1])
    assert measured["hangul"] == pytest.approx([3 / 4])


def test_the_lowest_draws_of_each_group_are_found_and_null_is_no_group() -> None:
    rows = pa.table({"source": ["b", "a", "a", "b", "a", None], "draw": [5, 9, 2, 4, 3, 1]})
    found = {name: places.tolist() for name, places in lowest_draws(rows, "source", 2).items()}
    assert found == {"a": [2, 4], "b": [3, 0]}
    assert lowest_draws(rows, "source", 0) == {}


def test_bars_hold_every_row_and_the_last_one_all_beyond_its_start() -> None:
    lengths = np.array([*range(1, 1_000), 91_329])
    found = length_bars(lengths)
    assert sum(bar.rows for bar in found) == 1_000
    assert found[-1] == Bar(950, 91_329, 51)
    assert [bar.end + 1 for bar in found[:-1]] == [bar.start for bar in found[1:]]
    assert bars([1, 1, 3, 20], 1, 3, 20) == [Bar(0, 0, 0), Bar(1, 1, 2), Bar(2, 2, 0), Bar(3, 20, 2)]
    assert bars(np.array([0.0, 57.9, 100.0]), 5, 95, 100)[11::8] == [Bar(55, 59, 1), Bar(95, 100, 1)]
    assert length_bars([7]) == [*(Bar(length, length, 0) for length in range(7)), Bar(7, 7, 1)]


def test_packing_counts_what_is_no_padding() -> None:
    cfg = SimpleNamespace(
        seed=42, sequence_len=1_000, micro_batch_size=1, sample_packing=True, sample_packing_group_size=100_000,
        sample_packing_bin_size=200, sample_packing_sequentially=None, multipack_real_batches=True,
    )  # fmt: skip
    assert pack(np.array([500, 500, 500, 500]), cfg) == Packing(1_000, packed=1.0, rows_per_sequence=2.0, padded=1.0)
    assert pack(np.array([600, 600, 600]), cfg) == Packing(1_000, packed=0.6, rows_per_sequence=1.0, padded=1.0)
    cfg.micro_batch_size = 2
    assert pack(np.array([600]), cfg) == Packing(1_000, packed=None, rows_per_sequence=0.0, padded=1.0)
    cfg.multipack_real_batches = False
    assert pack(np.array([600, 600, 600]), cfg) == Packing(2_000, packed=0.9, rows_per_sequence=3.0, padded=1.0)
    assert pack(np.zeros(0, np.int64), cfg) is None
    cfg.micro_batch_size = 3
    padded = pack(np.array([100, 300, 200]), cfg)
    assert padded
    assert padded.padded == 600 / 900


@pytest.mark.parametrize("text", ["{", "3", '{"messages": "가"}', '{"messages": [{"role": 1}]}', '{"question": []}'])
def test_a_raw_row_is_shown_as_it_is(text: str) -> None:
    assert converted(text) is None
    found = converted(SAME)
    assert found
    assert found["messages"] == SFT[-1]["messages"]


def test_a_share_that_is_nearly_none_or_all_does_not_look_so() -> None:
    shares = [percent(share) for share in (np.nan, 0, 0.0001, 0.123, 0.9999, 1)]
    assert shares == ["-", "0.0%", "< 0.1%", "12.3%", "> 99.9%", "100.0%"]
