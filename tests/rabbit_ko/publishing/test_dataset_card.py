"""The dataset card: its header as the hub reads it, its figures, and text that would break the page."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builders.build import build
from dataset_builders.licenses import License, known
from dataset_builders.manifest import Manifest, SourceSummary
from dataset_builders.recipe import load_config
from rabbit_ko.markdown import cell, fence, link
from rabbit_ko.methods import RowKind
from rabbit_ko.publishing.dataset_card import render_card
from rabbit_ko.recipes import GUARD
from tests.conftest import ROOT
from tests.dataset_builders.data_folder import STATED, make_data_folder, row, summary, write_shard

APACHE = known("Apache-2.0", STATED)


def card_of(folder: Path, *sources: SourceSummary) -> str:
    """Render the card of a folder with these sources."""
    return render_card(make_data_folder(folder, list(sources)), folder, "org/name")


def header_of(card: str) -> Any:
    """Return the YAML in front."""
    return yaml.safe_load(card.split("---\n")[1])


def test_the_header_has_configs_splits_license_language_and_sizes(tmp_path: Path) -> None:
    header = header_of(card_of(tmp_path))
    assert header["configs"] == [
        {
            "config_name": config,
            "data_files": [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in ("train", "test")],
        }
        for config in ("sft", "dpo")
    ]
    assert header["language"] == ["ko"]
    assert header["license"] == "apache-2.0"
    assert header["size_categories"] == ["n<1K"]
    assert header["pretty_name"] == "name"
    assert header["tags"] == ["rabbit-ko", "sft", "dpo"]


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        ([known("MIT"), known("MIT")], {"license": "mit"}),
        ([known("ODC-BY-1.0")], {"license": "odc-by"}),
        ([known("MIT"), APACHE], {"license": "other", "license_name": "mixed"}),
        ([License()], {"license": "other", "license_name": "none-stated"}),
        ([License(name="Our Terms, v2")], {"license": "other", "license_name": "our-terms-v2"}),
    ],
)
def test_the_license_is_one_that_the_hub_knows_or_other(
    tmp_path: Path, licenses: list[License], expected: dict[str, str]
) -> None:
    sources = [summary("sft", license, name=f"source-{number}") for number, license in enumerate(licenses)]
    header = header_of(card_of(tmp_path, *sources))
    assert {key: value for key, value in header.items() if key.startswith("license")} == expected


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (52_000, "10K<n<100K"),
        (999_999, "100K<n<1M"),
        (1_000_000, "1M<n<10M"),
        (10**12, "n>1T"),
    ],
)
def test_size_categories_are_the_hubs(tmp_path: Path, rows: int, category: str) -> None:
    manifest = make_data_folder(tmp_path, [summary("sft", APACHE)])
    shard = next(shard for shard in manifest.shards if shard.file.startswith("sft/train"))
    larger = manifest.model_copy(update={"shards": [shard.model_copy(update={"rows": rows})]})
    assert header_of(render_card(larger, tmp_path))["size_categories"] == [category]


def test_the_body_has_each_source_with_its_license_and_counts_in_both_languages(tmp_path: Path) -> None:
    accepted = summary("dpo", License(), name="silent", license_accepted="its makers said yes", revision=None)
    rejected = summary("sft", APACHE, name="loud", read=12_345, rejected={"too short": 12_338}, reported={"dull": 3})
    card = card_of(tmp_path, rejected, accepted)
    english, korean = card.split("## 한국어\n")
    for part, yes, unknown in ((english, "yes", "not stated"), (korean, "가능", "명시 없음")):
        assert "| loud | org/upstream-sft @ 0123456789abcdef0123456789abcdef01234567 | Apache-2.0 |" in part
        assert f"| {yes} | [huggingface.co/datasets/org/upstream]({STATED}) | - | 12,345 | 7 |" in part
        assert f"| silent | org/upstream-dpo | none stated | {unknown} | - | its makers said yes | 5 | 4 |" in part
        assert "| loud | too short | 12,338 |" in part
        assert "| loud | dull | 3 |" in part
        assert 'load_dataset("org/name", "sft")' in part
        assert "  - source: preference\n    path: org/name\n    subset: dpo\n" in part


def test_the_example_is_the_first_row_as_it_is_trained(tmp_path: Path) -> None:
    expected = "  ### Instruction:\n  짧게 답하세요.\n  \n  ### Response:\n+ 답변 0.\n+ 둘째 줄.\n```\n"
    assert expected in card_of(tmp_path, summary("sft", APACHE))
    card = card_of(tmp_path / "dpo", summary("dpo", APACHE))
    assert expected in card
    assert "with the chosen answer" in card
    assert "`sft`" not in card


def put_recipe(**types: str) -> Path:
    """Write a recipe of stages with prompts of these types into the working directory; return its data folder."""
    configs = Path("axolotl_configs/mine")
    configs.mkdir(parents=True)
    (configs / "data.yaml").touch()
    for stage, kind in types.items():
        config = {
            "plugins": [GUARD],
            "datasets": [{"path": f"data/mine/{stage}", "type": f"prompt_strategies.{kind}"}],
        }
        (configs / f"{stage}.yaml").write_text(yaml.safe_dump(config))
    return Path("data/mine")


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        ({"sft": "iir", "dpo": "iir_dpo"}, "sft"),
        ({"sft": "qir", "dpo": "iir_dpo"}, "dpo"),
        ({"ipo": "iir_dpo"}, "dpo"),
        ({"dpo": "iir_dpo"}, "sft"),
    ],
)
def test_the_example_has_the_prompt_of_the_recipes_own_stage(
    in_tmp: Path, types: dict[str, str], kind: RowKind
) -> None:
    folder = put_recipe(**types)
    card = card_of(folder.absolute(), summary(kind, APACHE))
    assert "  ### Instruction:\n  질문 0?\n  \n  ### Input:\n  짧게 답하세요.\n  \n  ### Response:\n+ 답변 0." in card
    assert "rabbit-ko's `iir` template" in card
    assert "rabbit-ko의 `iir` 템플릿" in card


def test_a_folder_of_no_recipe_has_an_example_in_qir(in_tmp: Path) -> None:
    put_recipe(sft="iir")
    card = card_of(in_tmp / "elsewhere", summary("sft", APACHE))
    assert "  ### Question:\n  질문 0?\n" in card
    assert "rabbit-ko's `qir` template" in card


def test_a_native_recipe_s_example_is_the_row_itself_since_its_base_renders_it(in_tmp: Path) -> None:
    put_recipe(sft="native_every_turn")
    card = card_of(in_tmp / "data/mine", summary("sft", APACHE))
    shown = json.loads(card.split("```json\n")[1].split("```")[0])
    assert shown == row("sft", 0)
    for said in ("its tokenizer's own chat template renders the", "그 토크나이저의 채팅 템플릿이"):
        assert said in card
    assert "### Question:" not in card


def test_a_row_with_tools_is_shown_as_it_is_and_its_fields_are_named(tmp_path: Path) -> None:
    config = load_config(ROOT / "axolotl_configs/smoke-native/data.yaml")
    tools = [
        entry.model_copy(update={"path": str(ROOT / entry.path)})
        for entry in config.sources
        if entry.name in ("tools_ko", "tools_ko_dpo")
    ]
    manifest = build(config.model_copy(update={"sources": tools}), tmp_path / "data")
    card = render_card(manifest, tmp_path / "data")
    shown = json.loads(card.split("```json\n")[1].split("```")[0])
    assert any("tool_calls" in message for message in shown["messages"])
    assert "null" not in json.dumps(shown)
    assert card.count("have `reasoning_content`, `tool_call_id`, `tool_calls`, `tools`, named as chat templates") == 1
    assert card.count("`reasoning_content`, `tool_call_id`, `tool_calls`, `tools`도 있습니다") == 1


def with_answer(folder: Path, answer: str) -> tuple[Manifest, Path]:
    """Make a folder whose first row ends with an answer."""
    manifest = make_data_folder(folder, [summary("sft", APACHE)])
    first = row("sft", 0)
    first["messages"][-1]["content"] = answer
    shard = write_shard(folder, "sft/train-00000-of-00001.parquet", [first])
    return manifest.model_copy(update={"shards": [shard]}), folder


def test_a_long_example_is_cut(tmp_path: Path) -> None:
    card = render_card(*with_answer(tmp_path, "가" * 50_000))
    assert len(card) < 12_000
    assert "가 ...\n```\n" in card


def test_text_cannot_break_out_of_a_fence_or_a_cell(tmp_path: Path) -> None:
    manifest, folder = with_answer(tmp_path, "코드:\n````\n# {{ title }}\n````")
    hostile = summary("sft", License(name="a|b\n# c"), name="<b>`x", license_accepted="[me](http://x) | y")
    card = render_card(manifest.model_copy(update={"sources": [hostile]}), folder)
    assert "`````diff\n" in card
    assert "+ ````\n+ # {{ title }}\n+ ````\n`````\n" in card
    assert "| \\<b\\>\\`x | " in card
    assert " | a\\|b # c | " in card
    assert " | \\[me\\](http://x) \\| y | " in card


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "-"),
        ("  ", "-"),
        ("orca_math_ko", "orca_math_ko"),
        ("_x_ *y* a\tb", "\\_x\\_ \\*y\\* a b"),
        ("$a$ ~~b~~ c\\", "\\$a\\$ \\~\\~b\\~\\~ c\\\\"),
    ],
)
def test_cells_show_text_as_it_is(text: str | None, expected: str) -> None:
    assert cell(text) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://a.kr/b_c", "[a.kr/b_c](https://a.kr/b_c)"),
        ("https://a.kr/b)|c", "[a.kr/b)\\|c](https://a.kr/b%29%7Cc)"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("the LICENSE file", "the LICENSE file"),
        ("", "-"),
    ],
)
def test_links_stay_links(address: str, expected: str) -> None:
    assert link(address) == expected


def test_a_fence_is_longer_than_any_within() -> None:
    assert fence("a ``` b `````` c", "text") == "```````text\na ``` b `````` c\n```````"
    assert fence("가", "text") == "```text\n가\n```"


def test_repeats_are_named_where_there_are_any_in_both_languages(tmp_path: Path) -> None:
    assert "#2" not in card_of(tmp_path / "plain")
    card = card_of(tmp_path / "mixed", summary("sft", APACHE, name="twice", repeats=1_005), summary("dpo", APACHE))
    assert card.count("| twice | 1,005 |") == 2
    assert card.count("`#2`") == 2
    assert "| dpo | 0 |" not in card
