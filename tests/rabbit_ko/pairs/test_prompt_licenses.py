"""The licenses of prompts stay with the pairs of them: a policy and a push hold for them, whatever the pairs' own."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build, current
from dataset_builders.manifest import read_manifest
from dataset_builders.prompt_sources import PROMPTS_FILE, read_prompt_sources
from dataset_builders.recipe import DataConfig, load_config
from rabbit_ko.errors import UserError
from rabbit_ko.publishing.push_data import pushable
from tests.rabbit_ko.pairs.making import FOLDER, make, write_config

QUESTIONS = (
    "가을에 피는 꽃을 하나만 알려 주세요.",
    "된장찌개는 어떻게 끓이나요?",
    "버스와 지하철 가운데 무엇이 더 빠른가요?",
    "한글날은 며칠인가요?",
    "밤에 잠이 오지 않을 때 무엇을 하면 좋을까요?",
    "강아지를 처음 키우는 사람에게 조언해 주세요.",
    "화분에 물은 얼마나 자주 주어야 하나요?",
    "서울에서 부산까지 기차로 얼마나 걸려요?",
    "편지를 쓸 때 첫인사는 어떻게 하나요?",
    "겨울 산에 오를 때 챙길 것을 적어 주세요.",
    "수학을 재미있게 배우는 방법이 있을까요?",
    "비 오는 날 듣기 좋은 음악을 추천해 줘.",
)
CLOSED = {"name": "closed", "commercial": False, "redistribution": False, "stated": ""}


def prompts(**stated: Any) -> None:
    """Have the prompts be those of a file with this license, and make their pairs."""
    lines = [{"prompt": question} for question in QUESTIONS]
    Path("mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_config(prompts={"sources": [{"source": "prompts", "path": "mine.jsonl", **stated}]})
    make()


def data(policy: str = "any", accepted: str = "ours", path: Path = FOLDER) -> DataConfig:
    """Return the config of data that takes the pairs, which alone are said to be free."""
    entry = f"{{source: own_pairs, path: {path}, license: MIT, license_accepted: {accepted}}}"
    file = Path("axolotl_configs/mine/data.yaml")
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"license_policy: {policy}\nquality: {{action: 'off'}}\nsources: [{entry}]\n")
    return load_config(file)


@pytest.mark.usefixtures("recipe")
def test_pairs_of_the_recipe_s_own_prompts_keep_the_licenses_of_its_conversations() -> None:
    make()
    known = {source.name: source for source in read_manifest("data/smoke").sources if source.stage == "sft"}
    found = read_prompt_sources("own_pairs", f"{FOLDER}/pairs.parquet")
    assert found
    for source in found:
        assert (source.path, source.license) == (known[source.name].path, known[source.name].license)
    [own] = build(data(), "data/mine").sources
    assert own.prompt_sources == found
    assert pushable(Path("data/mine")).sources == [own]


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize(
    ("stated", "line"),
    [
        ({"license": CLOSED, "license_accepted": "we asked"}, "closed, forbids redistribution"),
        ({}, "nothing allows redistribution; license: none stated; .*`make pairs` and `make data` again"),
    ],
)
def test_prompts_that_may_not_be_passed_on_are_not_pushed_as_pairs(stated: dict[str, Any], line: str) -> None:
    prompts(**stated)
    build(data(), "data/mine")
    said = (
        rf"^source `own_pairs`, data/pairs/smoke/base/pairs.parquet, has prompts of `prompts`, mine.jsonl: .*{line}"
    )
    with pytest.raises(UserError, match=said):
        pushable(Path("data/mine"))


@pytest.mark.usefixtures("recipe")
def test_a_license_that_is_stated_later_makes_no_new_answers_and_the_data_are_pushed() -> None:
    prompts()
    build(data(), "data/mine")
    answers = (FOLDER / "answers.jsonl").read_bytes()
    prompts(license="MIT")
    assert (FOLDER / "answers.jsonl").read_bytes() == answers
    assert current(data(), "data/mine") is None
    build(data(), "data/mine")
    assert pushable(Path("data/mine"))
    assert not make()[1]


@pytest.mark.usefixtures("recipe")
def test_a_commercial_policy_refuses_pairs_by_their_prompts() -> None:
    prompts(license="CC-BY-NC-4.0")
    said = r"refuses `own_pairs`, whose prompts are of `prompts`, which forbids commercial use \(CC-BY-NC-4.0\)"
    with pytest.raises(UserError, match=said):
        data("commercial")
    prompts(license="CC-BY-NC-4.0", license_accepted="they said yes")
    assert data("commercial")


@pytest.mark.usefixtures("recipe")
def test_pairs_of_prompts_that_pairs_gave_keep_the_licenses_of_the_first_ones() -> None:
    prompts(license=CLOSED)
    build(data(), "data/mine")
    write_config(prompts={"sources": [{"source": "own_pairs", "path": str(FOLDER), "license": "MIT"}]})
    found = [source.name for source in made_again()]
    assert found == ["own_pairs", "prompts"]


def made_again() -> list[Any]:
    """Make pairs of the pairs' prompts; return what they are from."""
    record, _ = make()
    assert PROMPTS_FILE in record.files
    return read_prompt_sources("own_pairs", f"{FOLDER}/pairs.parquet")


@pytest.mark.usefixtures("recipe")
def test_a_damaged_file_of_licenses_is_said_and_one_that_is_gone_is_written_again() -> None:
    prompts(license="MIT")
    (FOLDER / PROMPTS_FILE).write_text("{}")
    with pytest.raises(UserError, match=rf"{PROMPTS_FILE}: .*make the pairs again"):
        build(data(), "data/mine")
    (FOLDER / PROMPTS_FILE).unlink()
    assert make()[1]
    assert (FOLDER / PROMPTS_FILE).exists()
