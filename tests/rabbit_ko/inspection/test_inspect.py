"""What inspection shows is what is trained: every token, in order, on a page that needs nothing else."""

import json
import re
from collections import Counter
from copy import deepcopy
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from axolotl.loaders import load_tokenizer
from click.testing import CliRunner
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from axolotl_plugins.checks.rows import TokenizedRow, tokenize_batch, tokenized_rows
from prompt_strategies.tokens import Dropped, encode
from rabbit_ko.cli import main
from rabbit_ko.inspection.inspect_stage import command, print_row, print_summary, render_rows, summarize
from rabbit_ko.inspection.pieces import answers
from rabbit_ko.terminal import Terminal
from tests.stages import in_llama_format, load_on_cpu, save_base


def row_of(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> TokenizedRow:
    """A row of two texts."""
    [prompt_ids, answer_ids] = encode(tokenizer, [prompt, answer])
    return TokenizedRow("x/1", "x", prompt_ids, ([*answer_ids, tokenizer.eos_token_id],), 2, None)


def test_pieces_hold_every_token_once_and_read_as_the_text(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "뷁쀍 👩\u200d👩\u200d👧 e\u0301 \ufffd 漢字\r\n\tcode \ufffd"
    row = row_of(tokenizer, text, text)
    shown = answers(tokenizer, row)[""]
    assert [token for piece in shown for token in piece.ids] == row.prompt + row.answers[0]
    assert "".join(piece.text for piece in shown if not piece.trained) == tokenizer.decode(row.prompt)
    assert [piece.text for piece in shown if piece.special] == [tokenizer.eos_token]
    assert max(len(piece.ids) for piece in shown) <= 4


@pytest.fixture
def stage(smoke_recipe: Path) -> Any:
    """The smoke recipe's SFT stage, with a length into which not every row fits."""
    cfg = load_on_cpu("sft", sequence_len=200)
    return cfg, load_tokenizer(cfg)


def test_answers_with_a_label_are_called_good_or_bad_whether_they_were_labelled_or_are_a_pair_s(
    smoke_recipe: Path,
) -> None:
    cfg = load_on_cpu("kto", base_model="runs/smoke/base", guard_any_parent=True)
    tokenizer = load_tokenizer(cfg)
    pair = pq.read_table(sorted(Path("data/smoke/dpo").glob("train-*"))).slice(0, 1).to_pydict()
    labelled = {name: pair[name] * 2 for name in ("id", "source", "prompt")}
    labelled |= {"completion": pair["rejected"] + pair["chosen"], "label": [False, True]}
    for batch, names in ((pair, ["good", "bad"]), (labelled, ["bad", "good"])):
        rows = [*tokenize_batch(cfg, tokenizer, cfg.datasets[0], batch)]
        assert [*chain.from_iterable(answers(tokenizer, row) for row in rows)] == names
        texts = {name: tokenizer.decode(row.answers[0]) for row, name in zip(rows, names, strict=True)}
        assert texts["good"].startswith(pair["chosen"][0][0]["content"][:20])


def test_every_row_is_shown_or_dropped_with_its_reason(stage: Any) -> None:
    rows = list(tokenized_rows(stage[0], stage[1], "train"))
    summary = summarize(rows)
    in_shards = pq.read_table(sorted(Path("data/smoke/sft").glob("train-*"))[0]).num_rows
    assert len(rows) == len(summary.lengths) + sum(map(len, summary.dropped.values())) == in_shards
    assert summary.dropped.keys() == {Dropped.TOO_LONG.value}
    assert max(summary.lengths) <= 200
    assert summary.shortened == sum(row.dropped_exchanges > 0 for row in rows) > 0
    assert Counter(row.source for row in rows if not row.dropped) == summary.rows
    assert summary.tokens.total() == sum(row.total for row in rows)
    assert summary.trained.total() == sum(row.trained for row in rows)


def test_a_row_that_is_dropped_is_shown_by_its_reason(stage: Any) -> None:
    rows = [row for row in tokenized_rows(stage[0], stage[1], "train") if row.dropped]
    console = Terminal(record=True, width=200)
    print_row(console, stage[1], rows[0])
    assert f"{rows[0].id}  {rows[0].source}    dropped: {Dropped.TOO_LONG}" in console.export_text()
    assert rows[0].id in render_rows("smoke sft", stage[0], stage[1], rows, summarize(rows))


@pytest.fixture
def native_stage(smoke_recipe: Path, smoke_tokenizer: PreTrainedTokenizerBase) -> Any:
    """A stage that trains every answer in the base's own format."""
    save_base(smoke_recipe / "runs/smoke/base", in_llama_format(smoke_tokenizer))
    rows = {"path": "data/smoke/sft", "type": "prompt_strategies.native_every_turn"}
    sets = {f"{name}datasets": [{**rows, "split": split}] for name, split in (("", "train"), ("test_", "test"))}
    cfg = load_on_cpu("sft", **sets)
    return cfg, load_tokenizer(cfg)


def test_each_answer_of_a_native_row_is_shown_as_trained(native_stage: Any) -> None:
    cfg, tokenizer = native_stage
    [row, *_] = [row for row in tokenized_rows(cfg, tokenizer, "train") if row.earlier]
    pieces = answers(tokenizer, row)[""]
    assert [token for piece in pieces for token in piece.ids] == row.prompt + row.answers[0]
    spoken = [tokenizer.decode(row.prompt[start:end]) for start, end in row.earlier]
    trained = "".join(piece.text for piece in pieces if piece.trained)
    assert trained == "".join([*spoken, tokenizer.decode(row.answers[0])])
    assert trained.count("<|eot_id|>") == len(row.earlier) + 1
    source = render_rows("smoke sft", cfg, tokenizer, [row], summarize([row]))
    assert Page(source).trained == trained
    assert f"· {row.length - row.trained} + {row.trained} tokens" in source
    console = Terminal(record=True, width=200)
    print_row(console, tokenizer, row)
    assert f"  {row.length - row.trained} + {row.trained} tokens" in console.export_text()


def test_a_control_token_is_boxed_whether_or_not_it_is_marked_as_special(
    smoke_tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer = deepcopy(smoke_tokenizer)
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("   ", special=False)])
    row = row_of(tokenizer, "질문   <think>", "답")
    assert [piece.text for piece in answers(tokenizer, row)[""] if piece.special] == ["<think>", "<|end_of_text|>"]


class Page(HTMLParser):
    """The text of a page's tokens and their ids, and whatever would have to be loaded from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.trained, self.ids, self.loaded = "", "", list[int](), list[str]()
        self.in_tokens = self.is_trained = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.loaded += [str(found[name]) for name in ("src", "href") if name in found]
        self.in_tokens = tag == "span" and "title" in found
        if self.in_tokens:
            self.ids += map(int, str(found["title"]).split())
            self.is_trained = "t" in str(found["class"]).split()

    def handle_endtag(self, tag: str) -> None:
        self.in_tokens = False

    def handle_data(self, data: str) -> None:
        self.text += data if self.in_tokens else ""
        self.trained += data if self.in_tokens and self.is_trained else ""


def test_the_page_shows_every_token_with_its_id_and_loads_nothing(stage: Any) -> None:
    cfg, tokenizer = stage
    rows = list(tokenized_rows(cfg, tokenizer, "train"))
    whole = [row for row in rows if not row.dropped][:5]
    source = render_rows("smoke sft", cfg, tokenizer, whole, summarize(rows))
    page = Page(source)
    assert page.ids == [token for row in whole for token in row.prompt + row.answers[0]]
    assert page.text == tokenizer.decode(page.ids)
    assert page.loaded == []
    assert not re.search(r"https?://|@import|url\(", source)
    for dropped in (row for row in rows if row.dropped):
        assert dropped.id in source
    assert "roles out of order" in source


def test_text_of_a_row_is_no_markup(smoke_tokenizer: PreTrainedTokenizerBase, stage: Any) -> None:
    row = row_of(smoke_tokenizer, "<script>alert('가')</script> [bold]굵게[/bold]", "</div>&amp;")
    source = render_rows("x", stage[0], smoke_tokenizer, [row], summarize([row]))
    assert "<script" not in source
    assert "<script>alert('가')</script> [bold]굵게[/bold]</div>&amp;" in Page(source).text
    console = Terminal(record=True, width=200)
    print_row(console, smoke_tokenizer, row)
    print_summary(console, summarize([row]), 200)
    shown = console.export_text()
    assert "<script>alert('가')</script> [bold]굵게[/bold]</div>&amp;⟦<|end_of_text|>⟧" in shown
    assert "2 oldest exchanges dropped" in shown


def test_a_row_cannot_steer_the_terminal(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    console = Terminal(record=True, width=200)
    print_row(console, smoke_tokenizer, row_of(smoke_tokenizer, "\x1b[2m가\x07\r나", "\x9b2J답"))
    shown = console.export_text()
    assert "␛[2m가␇␍나\\u009b2J답" in shown
    assert not set(shown) & set("\x1b\x07\r\x9b")


def test_colours_tell_prompt_and_answer_apart(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    console = Terminal(record=True, width=200, force_terminal=True, color_system="standard")
    print_row(console, smoke_tokenizer, row_of(smoke_tokenizer, "질문", "답"))
    shown = console.export_text(styles=True)
    assert re.search("\x1b\\[2m질", shown)
    assert re.search("\x1b\\[32m답", shown)
    assert re.search("\x1b\\[1;7;32m⟦<\\|end_of_text\\|>⟧", shown)


def run_command(*arguments: str) -> object:
    """Run `rabbit inspect`; returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *arguments])
    return ended.value.code


def test_the_command_prints_rows_and_json_and_writes_a_page(
    smoke_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = smoke_recipe / "runs/smoke/sft/debug.log"
    log.parent.mkdir()
    log.write_text("what a run has logged")
    assert run_command("--n", "1") == 0
    printed = capsys.readouterr().out
    assert log.read_text() == "what a run has logged"
    assert "### Response:" in printed
    assert "of sequence_len 1024" in printed
    row_id = printed.split()[0]
    assert run_command("--id", row_id, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in found["rows"]] == [row_id]
    assert "".join(piece["text"] for piece in found["rows"][0]["answer"] if piece["trained"]) in printed.replace(
        "⟦", ""
    ).replace("⟧", "")
    assert len(found["summary"]["lengths"]) == sum(found["summary"]["rows"].values())
    assert run_command("--html", "rows.html", "--split", "test") == 0
    assert "smoke sft, test" in Path("rows.html").read_text(encoding="utf-8")


def test_axolotls_own_command_shows_the_same_rows(smoke_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("--n", "2", "--json") == 0
    shown = capsys.readouterr().out
    result = CliRunner().invoke(command, ["axolotl_configs/smoke/sft.yaml", "--n", "2", "--json"])
    assert (result.exit_code, result.output) == (0, shown)
    assert CliRunner().invoke(command, ["axolotl_configs/smoke/none.yaml"]).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--id", "x/nowhere"],
            1,
            "error: axolotl_configs/smoke/sft.yaml: no row of the train split has the id x/nowhere",
        ),
        (["--stage", "dpo"], 1, "runs/smoke/sft/merged is not there; run `make merge RECIPE=smoke STAGE=sft` first"),
        (["--stage", "dpp"], 2, "error: STAGE=dpp: recipe smoke has no such stage; did you mean `dpo`?"),
        (["--recipe", "smok"], 2, "error: RECIPE=smok: there is no such recipe; did you mean `smoke`?"),
        (["--recipe", "aog-8b"], 1, "data/aog-8b/sft holds no train shards; run `make data RECIPE=aog-8b`"),
        (["--split", "dev"], 2, "Invalid value for '--split'"),
        (["axolotl_configs/smoke/sft.yaml"], 2, "unexpected extra argument"),
    ],
)
def test_a_mistake_is_said_in_one_line(
    smoke_recipe: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert run_command(*arguments) == code
    told = capsys.readouterr().err
    assert said in told
    assert code == 2 or len(told.splitlines()) == 1
