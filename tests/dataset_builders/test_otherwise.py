"""A source with an `otherwise`: what is read, what is said of it, and what is stale once its own rows are there."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build, current
from dataset_builders.recipe import load_config
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import OFF, file_contents, write_config, write_jsonl
from tests.dataset_builders.sources.test_own_pairs import own_pairs, write_pairs

FOLDER = Path("data/pairs/mine/sft")
PUBLIC = {"source": "preference", "path": "public.jsonl"}
OWN = {"source": "own_pairs", "path": str(FOLDER), "otherwise": PUBLIC}
SAID = f"{FOLDER}/pairs.parquet: not there, so `preference` is read in its place"


@pytest.fixture(autouse=True)
def config(in_tmp: Path) -> Path:
    """A recipe with conversations, and pairs of its own in the place of public ones."""
    rows = exchanges(60)
    write_jsonl(in_tmp / "sft.jsonl", rows)
    pairs = [{"prompt": row["instruction"], "chosen": row["output"], "rejected": "몰라요"} for row in rows]
    write_jsonl(in_tmp / "public.jsonl", pairs)
    return recipe(OWN)


def recipe(*pairs: dict[str, Any], **options: Any) -> Path:
    """Write the recipe's data.yaml with these sources of pairs."""
    file = Path("axolotl_configs/mine/data.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": OFF, "test_size": 0.1, **options}
    return write_config(file, {"source": "alpaca", "path": "sft.jsonl", "license": "MIT"}, *pairs, **options)


def run(capture: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that ends well; return what it prints."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    return capture.readouterr().out


def test_the_other_entry_is_read_while_the_pairs_are_not_there_and_it_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert SAID in run(capsys, "data", "--recipe", "mine")
    assert run(capsys, "data", "--recipe", "mine") == f"{SAID}\ndata/mine: up to date\n"
    manifest = json.loads(run(capsys, "data", "--recipe", "mine", "--json"))
    assert [(it["source"], it["path"]) for it in manifest["sources"][1:]] == [("preference", "public.jsonl")]
    assert "own_pairs" not in json.dumps(manifest), "the manifest says what was read"
    assert SAID in run(capsys, "status", "mine")


def test_data_are_stale_once_the_pairs_are_there_and_the_conversations_keep_their_bytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(capsys, "data", "--recipe", "mine")
    before = file_contents(Path("data/mine/sft"))
    write_pairs(FOLDER, own_pairs(40))
    table = run(capsys, "status", "mine")
    assert "stale: `own_pairs` is a source now, `preference` is none any more" in table
    assert SAID not in table
    assert "not there" not in run(capsys, "data", "--recipe", "mine")
    assert file_contents(Path("data/mine/sft")) == before
    write_pairs(FOLDER, own_pairs(40, better=" 이상입니다."))
    assert "stale" in run(capsys, "status", "mine")
    run(capsys, "data", "--recipe", "mine")
    assert file_contents(Path("data/mine/sft")) == before


def test_a_build_is_the_same_as_one_of_the_entry_that_was_read(config: Path) -> None:
    build(load_config(config), "data/mine")
    assert current(load_config(recipe(PUBLIC)), "data/mine")
    write_pairs(FOLDER, own_pairs(40))
    build(load_config(recipe(OWN)), "data/mine")
    assert current(load_config(recipe({"source": "own_pairs", "path": str(FOLDER)})), "data/mine")


@pytest.mark.parametrize("are_there", [False, True])
@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({**OWN, "otherwise": OWN | {"name": "a"}}, r"sources\[1\]: otherwise: has an `otherwise` of its own"),
        ({**OWN, "otherwise": {"source": "alpaca", "path": "x"}}, "`alpaca` has sft rows, and `own_pairs` has dpo"),
        ({**OWN, "otherwise": PUBLIC | {"name": "alpaca"}}, "two sources are called `alpaca`"),
        ({**OWN, "otherwise": PUBLIC | {"name": "own_pairs"}}, "two sources are called `own_pairs`"),
        ({**OWN, "otherwise": {"source": "nobody", "path": "x"}}, "unknown source `nobody`"),
        (
            {**OWN, "source": "preference", "name": "a", "path": "org/pairs"},
            "this machine, which begins with /, ~ or ., not org/pairs",
        ),
        ({**OWN, "path": "s3://bucket/pairs"}, "this machine, .* not s3://bucket/pairs/pairs.parquet"),
        ({**OWN, "share": 0.5}, "`own_pairs` is the only dpo source"),
        ({**OWN, "otherwise": PUBLIC | {"share": 0.5}}, "`preference` is the only dpo source"),
    ],
)
def test_both_entries_are_checked_whichever_is_read(entry: dict[str, Any], line: str, are_there: bool) -> None:
    if are_there:
        write_pairs(FOLDER, own_pairs(4))
    with pytest.raises(UserError, match=line):
        load_config(recipe(entry))


@pytest.mark.parametrize("are_there", [False, True])
@pytest.mark.parametrize("refused", ["own_pairs", "preference"])
def test_a_policy_holds_for_both_entries(refused: str, are_there: bool) -> None:
    if are_there:
        write_pairs(FOLDER, own_pairs(4))
    accepted = {"license_accepted": "ours"}
    entry = OWN | {"otherwise": PUBLIC | (accepted if refused != "preference" else {})}
    entry |= accepted if refused != "own_pairs" else {}
    with pytest.raises(UserError, match=f"refuses `{refused}`"):
        load_config(recipe(entry, license_policy="commercial"))
