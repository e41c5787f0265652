"""The card says what the files say: nothing that was not measured, and nothing that breaks the page or the header."""

import json
import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData

from axolotl_plugins.resume.identity import shards_fingerprint
from dataset_builders.licenses import License, known
from dataset_builders.manifest import SourceSummary
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.records import Score, State
from rabbit_ko.evaluation.results.report import describe
from rabbit_ko.evaluation.results.words import ENGLISH, KOREAN
from rabbit_ko.evaluation.stages import Stage, find_stage
from rabbit_ko.hashing import file_digest
from rabbit_ko.methods import METHODS, Method
from rabbit_ko.parity.report import parity_digest, read_records
from rabbit_ko.publishing.examples import Example, PickedAnswer
from rabbit_ko.publishing.figures import Language
from rabbit_ko.publishing.model_card import header
from rabbit_ko.run_record import describe_files
from tests.dataset_builders.data_folder import make_data_folder, summary
from tests.rabbit_ko.evaluation.results.measured import make_stale, put_results
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, put_result, retrain
from tests.rabbit_ko.publishing.card_folder import (
    APACHE,
    SOURCES,
    a_gguf,
    card_of,
    facts_of,
    make_card_folder,
    put_data,
    put_parity,
    put_run,
)

GOLDEN = Path(__file__).parent / "golden"
ON_THE_HUB = "meta-llama/Llama-3.2-3B-Instruct"


def header_of(stage: str = "sft", license: str = "") -> ModelCardData:
    """Render a header and read it again as the hub does."""
    text = f"---\n{header(facts_of(stage, license)).to_yaml()}\n---\n\nbody\n"
    return ModelCard(text).data


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_card_is_the_golden_one(trained: Path, language: Language) -> None:
    put_results()
    make_stale()
    put_parity("dpo", a_gguf())
    shown: dict[str, Any] = {
        "good": PickedAnswer(question="수도는?", answer="서울입니다."),
        "bad": PickedAnswer(question="# 1+1?", answer="````\n3"),
    }
    golden = (GOLDEN / f"model_card.{language}.md").read_text(encoding="utf-8")
    digest = file_digest(MODELS["dpo"] / "run.json")
    card = card_of("dpo", language, **shown).replace(digest, "0" * 64)
    assert card.replace(parity_digest(read_records(find_stage("mine", "dpo"))), "0" * 32) == golden


@pytest.mark.parametrize(("language", "said"), [("en", "was not checked"), ("ko", "확인하지 않았습니다")])
def test_a_stage_that_was_compared_with_nothing_or_was_trained_anew_since_says_so(
    trained: Path, language: Language, said: str
) -> None:
    assert said in card_of("dpo", language)
    put_parity("dpo")
    assert "201/260" in card_of("dpo", language)
    name_files("dpo")
    assert "201/260" not in card_of("dpo", language)
    assert said in card_of("dpo", language)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "fewer conversations or tokens than are asked for by default"),
        ("ko", "기본값보다 적은 대화나 토큰으로"),
    ],
)
def test_a_check_by_fewer_rows_than_the_default_is_shown_as_what_it_is(
    trained: Path, language: Language, said: str
) -> None:
    put_parity("dpo", rows=200)
    assert said not in card_of("dpo", language)
    put_parity("dpo", rows=199)
    assert said in card_of("dpo", language)


def test_only_a_comparison_of_a_gguf_lets_a_card_say_that_one_may_be_there(trained: Path) -> None:
    put_parity("dpo", MODELS["dpo"] / "adapter_config.json", name="adapter")
    assert "llama-server -hf" not in card_of("dpo", "en")
    put_parity("dpo", a_gguf())
    assert "llama-server -hf" in card_of("dpo", "en")


def name_files(stage: str) -> None:
    """Let the run be one that says what it wrote, and so another than it was."""
    file = MODELS[stage] / "run.json"
    run = json.loads(file.read_text(encoding="utf-8"))
    files = {name: record.model_dump() for name, record in describe_files(MODELS[stage]).items()}
    file.write_text(json.dumps(run | {"files": files}))


def make_last(stage: str, monkeypatch: pytest.MonkeyPatch, base: Path, rows: str, **config: Any) -> None:
    """Let the recipe's last run be one of another method, on the rows of a kind."""
    monkeypatch.setattr(
        "rabbit_ko.publishing.model_facts.find_stage",
        lambda recipe, name: Stage(recipe, name, f"runs/{recipe}/{name}"),
    )
    monkeypatch.setitem(MODELS, stage, Path("runs/mine") / stage)
    MODELS["dpo"].rename(MODELS[stage])
    shards = f"data/mine/{rows}"
    put_run(
        stage,
        "",
        started="2026-01-02T00:00:00+00:00",
        config={"base_model": str(base), "adapter": "lora", "rl": stage, **config}
        | {"datasets": [{"path": shards, "type": "prompt_strategies.qir"}]},
        datasets=[{"path": shards, "fingerprint": shards_fingerprint({"path": shards})}],
    )


def test_a_new_method_needs_no_edit_of_the_card(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "apo" not in METHODS
    monkeypatch.setitem(METHODS, "apo", Method("apo", rows="dpo", rl="apo", parent="sft"))
    make_last("apo", monkeypatch, MODELS["sft"] / "merged", "dpo", rl_beta=0.1)
    card = card_of("apo")
    assert "# mine APO\n" in card
    assert "Then APO on 1,234 preference pairs.\n" in card
    assert "| `rl` | apo |\n| `rl_beta` | 0.1 |\n" in card
    assert "| closed | dpo | mine.jsonl |" in card
    assert "이어서 선호 쌍 1,234개로 APO를 했습니다.\n" in card_of("apo", "ko")


def test_orpo_has_a_card_of_its_own_run_alone_since_it_starts_from_the_base(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_last("orpo", monkeypatch, MODELS["base"], "dpo", orpo_alpha=0.1)
    assert facts_of("orpo").runs.keys() == {"orpo"}
    card = card_of("orpo")
    assert "# mine ORPO\n" in card
    assert "\nORPO on 1,234 preference pairs.\n" in card
    assert "| `rl` | orpo |\n| `orpo_alpha` | 0.1 |\n" in card
    assert "| closed | dpo | mine.jsonl |" in card
    for other in ("Supervised", "merged SFT", "### SFT", "| open |", "Then "):
        assert other not in card
    assert header_of("orpo").tags == ["rabbit-ko", "axolotl", "lora", "orpo"]
    assert "\n선호 쌍 1,234개로 ORPO를 했습니다.\n" in card_of("orpo", "ko")


@pytest.mark.parametrize(
    ("rows", "where"), [("kto", "| rated | kto | rated.jsonl |"), ("dpo", "| closed | dpo | mine.jsonl |")]
)
def test_kto_has_a_card_with_sft_before_it_and_its_labelled_answers(
    trained: Path, monkeypatch: pytest.MonkeyPatch, rows: str, where: str
) -> None:
    put_data([*SOURCES, summary("kto", License(), name="rated", path="rated.jsonl", revision=None)])
    make_last("kto", monkeypatch, MODELS["sft"] / "merged", rows, kto_desirable_weight=1.5)
    card = card_of("kto")
    assert "# mine KTO\n" in card
    assert "Then KTO on 1,234 answers with a label.\n" in card
    assert "### KTO\n\nIt starts from the merged SFT model.\n" in card
    assert "| `kto_desirable_weight` | 1.5 |\n" in card
    assert where in card
    assert ("rated" in card) == (rows == "kto")
    assert header_of("kto").tags == ["rabbit-ko", "axolotl", "lora", "sft", "kto"]
    assert "이어서 좋고 나쁨을 표시한 답변 1,234개로 KTO를 했습니다.\n" in card_of("kto", "ko")


def own_source(pairs: Path, judge: str) -> SourceSummary:
    """A source of own pairs, and the record of who judged them."""
    pairs.mkdir(parents=True)
    record = {"judge": judge, "files": {"pairs.parquet": "1" * 64}}
    (pairs / "pairs.json").write_text(json.dumps(record), encoding="utf-8")
    read = sha256(b"1" * 64).hexdigest()
    path = str(pairs / "pairs.parquet")
    return summary("dpo", License(), name="own_pairs", source="own_pairs", path=path, input_sha256=read)


def test_own_answers_are_told_by_what_was_read_and_not_by_the_stages_name(trained: Path) -> None:
    own = own_source(Path("data/pairs/mine/sft"), "a-judge")
    put_data([SOURCES[0], own])
    put_run("sft", str(MODELS["base"]))
    put_run("dpo", str(MODELS["sft"] / "merged"), started="2026-01-02T00:00:00+00:00")
    line = "The answers of the SFT model were compared by `a-judge`.\n"
    card, korean = card_of("dpo"), card_of("dpo", "ko")
    assert f"Then DPO on 1,234 preference pairs of the SFT model's own answers.\n{line}" in card
    assert "이어서 SFT 모델이 직접 낸 답변으로 만든 선호 쌍 1,234개로 DPO를 했습니다.\n" in korean
    put_data([SOURCES[0], own, SOURCES[2]])
    put_run("sft", str(MODELS["base"]))
    put_run("dpo", str(MODELS["sft"] / "merged"), started="2026-01-02T00:00:00+00:00")
    card, korean = card_of("dpo"), card_of("dpo", "ko")
    assert f"Then DPO on 1,234 preference pairs, some of them of the SFT model's own answers.\n{line}" in card
    assert "이어서 SFT 모델이 직접 낸 답변으로 만든 것을 포함한 선호 쌍 1,234개로 DPO를 했습니다.\n" in korean
    # Another judge has made them anew since.
    (Path(own.path).parent / "pairs.json").write_text('{"judge": "b", "files": {"pairs.parquet": "2"}}')
    assert "were compared by" not in card_of("dpo")


def test_a_round_names_its_parent_and_the_pairs_that_it_read(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, pairs = "dpo-1", Path("data/pairs/mine/sft")
    own = own_source(pairs, "a-judge")
    make_data_folder(pairs, [own])
    run = MODELS["dpo"].rename(MODELS["dpo"].with_name(stage))
    monkeypatch.setitem(MODELS, stage, run)
    monkeypatch.setattr(
        "rabbit_ko.publishing.model_facts.find_stage", lambda recipe, name: Stage(recipe, name, str(run))
    )
    read = [{"path": f"{pairs}/dpo", "fingerprint": shards_fingerprint({"path": f"{pairs}/dpo"})}]
    config = {
        "base_model": str(MODELS["sft"] / "merged"),
        "rl": "dpo",
        "datasets": [{"type": "prompt_strategies.qir"}],
    }
    put_run(stage, "", started="2026-01-02T00:00:00+00:00", config=config, datasets=read)
    card = card_of(stage)
    assert "Then DPO-1 on 1,234 preference pairs of the SFT model's own answers.\n" in card
    assert "The answers of the SFT model were compared by `a-judge`.\n" in card
    assert "SFT 모델의 답변은 다음 심판이 비교했습니다: `a-judge`.\n" in card_of(stage, "ko")
    assert "- sft\n- dpo\n- dpo-1\n" in card
    assert "### DPO-1\n\nIt starts from the merged SFT model.\n" in card
    assert f"| own_pairs | dpo | {pairs}/pairs.parquet @ " in card
    assert "mine.jsonl" not in card
    assert "이어서 SFT 모델이 직접 낸 답변으로 만든 선호 쌍 1,234개로 DPO-1 학습을 했습니다.\n" in card_of(
        stage, "ko"
    )
    put_run(
        stage, "", started="2026-01-02T00:00:00+00:00", config=config, datasets=[{**read[0], "fingerprint": "f1"}]
    )
    with pytest.raises(
        UserError, match=f"{pairs}/manifest.json: lists other shards than those that dpo-1 was trained"
    ):
        card_of(stage)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_without_results_every_figure_of_an_evaluation_is_a_dash(trained: Path, language: Language) -> None:
    part = re.split("^## ", card_of("sft", language), flags=re.MULTILINE)[4 - 1]
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 6
    cells = [cell for row in rows if "---" not in row for cell in row.strip("| ").split(" | ")[1:]]
    assert not re.search(r"\d", "".join(cells))
    assert "±" not in part


def test_the_header_is_what_the_hub_reads(in_tmp: Path) -> None:
    make_card_folder(base=ON_THE_HUB)
    accuracy = Score(task="kobest_copa", metric="acc", value=0.625, stderr=0.01, items=8)
    result = put_result("sft", "kobest", [accuracy], limit=8)
    configs = {"kobest_copa": {"dataset_name": "copa", "test_split": "test"}}
    path = in_tmp / "runs/mine/eval/sft/kobest.json"
    path.write_text(result.model_copy(update={"harness": {"configs": configs}}).model_dump_json())
    data = header_of()
    assert (data.base_model, data.base_model_relation, data.library_name) == (ON_THE_HUB, "adapter", "peft")
    assert data.datasets == ["org/open", "heegyu/hh-rlhf-ko"]
    assert (data.language, data.pipeline_tag, data.license) == (["ko"], "text-generation", "other")
    assert data.tags == ["rabbit-ko", "axolotl", "lora", "sft"]
    [found] = data.eval_results
    assert (found.dataset_type, found.dataset_config, found.dataset_split) == ("skt/kobest_v1", "copa", "test")
    assert found.dataset_name == "kobest_copa (5-shot, bare text, first 8 items)"
    assert found.dataset_args == {"num_few_shot": 5, "limit": 8}
    assert (found.metric_type, found.metric_value) == ("acc", 0.625)


def test_what_is_only_on_this_machine_is_not_named_as_if_it_were_on_the_hub(trained: Path) -> None:
    put_data([summary("sft", APACHE, path="mine/rows", revision=None)])
    put_run("sft", str(MODELS["base"]))
    data = header_of()
    assert not {"base_model", "base_model_relation", "datasets", "model-index"} & data.to_dict().keys()
    assert data.library_name == "transformers"
    assert "runs/" not in data.to_yaml()


@pytest.mark.parametrize(
    ("changes", "is_there"),
    [({}, True), ({"data": "0123"}, False), ({"backend": "openai"}, False), ({"limit": 8}, True)],
)
def test_only_figures_on_the_data_of_the_hub_are_in_the_header(
    trained: Path, changes: dict[str, Any], is_there: bool
) -> None:
    put_result(
        "sft", "gsm8k", [Score(task="gsm8k", metric="exact_match,strict-match", value=0.5, items=8)], **changes
    )
    assert bool(header_of().get("eval_results")) is is_there


def test_an_earlier_models_figures_are_on_no_card(trained: Path) -> None:
    put_result("sft", "gsm8k", [Score(task="gsm8k", metric="exact_match,strict-match", value=0.4375, items=8)])
    assert "| 0.4375 |" in card_of("sft")
    retrain("sft")
    assert "0.4375" not in card_of("sft")
    assert [result.task for result in facts_of("sft").table.in_state(State.STALE)] == ["gsm8k"]


def test_an_earlier_models_verdicts_are_on_no_card(trained: Path) -> None:
    put_results()
    assert "| 추론 | 6.86 (6.14-7.71) ▲ |" in card_of("dpo")
    retrain("dpo")
    assert "6.86" not in card_of("dpo")
    assert "judge-1" not in card_of("dpo")


@pytest.mark.parametrize(
    ("licenses", "base", "asked", "expected"),
    [
        ([APACHE, APACHE], "", "", {"license": "apache-2.0"}),
        ([known("ODC-BY-1.0")], "", "", {"license": "odc-by"}),
        ([APACHE, known("MIT")], "", "", {"license": "other", "license_name": "mixed"}),
        ([License()], "", "", {"license": "other", "license_name": "mixed"}),
        ([APACHE], ON_THE_HUB, "", {"license": "llama3.2"}),
        ([License()], ON_THE_HUB, "", {"license": "other", "license_name": "mixed"}),
        ([APACHE], ON_THE_HUB, "llama3.2", {"license": "llama3.2"}),
    ],
)
def test_the_license_is_what_those_of_base_and_data_leave_unless_another_is_asked_for(
    in_tmp: Path, licenses: list[License], base: str, asked: str, expected: dict[str, str]
) -> None:
    sources = [summary("sft", license, name=f"source-{number}") for number, license in enumerate(licenses)]
    make_card_folder(base, sources)
    found = header_of(license=asked).to_dict()
    assert {key: value for key, value in found.items() if key.startswith("license")} == expected


def test_the_reasons_for_accepting_a_license_are_there(trained: Path) -> None:
    card = card_of("dpo")
    assert "- silent: the source states no license." in card
    assert "- closed: CC-BY-NC-4.0 forbids commercial use." in card
    assert '- silent: its use is accepted because "만든 사람이 허락함"; that is the makers\' reason' in card
    assert "closed" not in card_of("sft")


def test_the_conditions_of_a_measurement_are_told(trained: Path) -> None:
    result = put_result("sft", "gsm8k", [], limit=8, data="0123", template=True)
    assert describe(result, ENGLISH) == "5-shot, the recipe's prompt, first 8 items, local data"
    assert describe(result, KOREAN) == "5-shot, 학습 때의 프롬프트, 처음 8문항, 로컬 데이터"
    put_result("sft", "ifeval", [], backend="openai", notes=["2 prompts | lost"])
    card = card_of("sft")
    assert "- Measured on the first items only: gsm8k." in card
    assert "- Measured on local files, not on the public data of the hub: gsm8k." in card
    assert "- Answered by a model behind a server: ifeval." in card
    assert "- Noted during the evaluation, ifeval: 2 prompts \\| lost\n" in card


def test_text_cannot_break_out_of_a_fence_or_a_cell_or_the_header(trained: Path) -> None:
    hostile = "```\n# 제목\n````\n{{ title }} | <b>"
    put_data([summary("sft", License(name="a|b\n# c"), name="<b>`x", rejected={"[me](http://x) | y": 1})])
    put_run("sft", str(MODELS["base"]))
    shown = PickedAnswer(question=hostile, answer="---\nlicense: mit\n---")
    card = card_of("sft", "en", [Example(hostile, False)] * 2, good=shown)
    assert card.count(f"\n`````text\n{hostile}\n`````\n") == 3
    assert "| \\<b\\>\\`x | sft | " in card
    assert " | a\\|b # c | " in card
    assert "| \\[me\\](http://x) \\| y | 1 |" in card
    assert ModelCard(card).data.license == "other"
    assert len(re.findall("^# ", re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", card), re.MULTILINE)) == 1


def test_the_code_for_an_adapter_names_its_base_and_its_rank(in_tmp: Path) -> None:
    make_card_folder(base=ON_THE_HUB)
    card = card_of("sft")
    assert f"vllm serve {ON_THE_HUB} --tokenizer org/name --enable-lora --max-lora-rank 32" in card
    assert "`peft` has to be installed" in card
    assert f"[{ON_THE_HUB}](https://huggingface.co/{ON_THE_HUB})" in card


@pytest.mark.parametrize(
    ("named", "dated", "expected"),
    [
        ({}, {}, "it is what the base model's own chat template renders. The saved tokenizer has that template. The"),
        (
            {"chat_template": "chatml"},
            {},
            "it is what the chat template that was chosen for it renders. The saved tokenizer has that template. The",
        ),
        (
            {},
            {"chat_template_date": "2024-07-26"},
            "The saved tokenizer has that template, with 2024-07-26 in the place of the day's date, as in training.",
        ),
    ],
)
def test_a_native_stage_has_a_prompt_of_its_base_and_no_headings(
    trained: Path, named: dict[str, str], dated: dict[str, Any], expected: str
) -> None:
    entry = {"path": "data/mine/sft", "type": "prompt_strategies.native"}
    config = {"base_model": str(MODELS["base"]), "datasets": [entry], "chat_template_jinja": "{{ messages }}"}
    put_run("sft", str(MODELS["base"]), config=config, **dated)
    file = Path("axolotl_configs/mine/sft.yaml")
    file.write_text(file.read_text(encoding="utf-8") + "".join(f"{key}: {it}\n" for key, it in named.items()))
    card = card_of("sft")
    assert expected in " ".join(card.split())
    assert "###" not in card.split("## The prompt")[1].split("### A single turn")[0]
    assert ("기반 모델의 원래 채팅 템플릿" in card_of("sft", "ko")) == (not named)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_the_manifest_is_known_to_be_of_the_shards_of_a_run(trained: Path, stage: str) -> None:
    [entry] = facts_of(stage).runs[stage].datasets
    assert len(entry.fingerprint) == 64


def test_data_that_were_built_anew_are_not_shown_as_what_was_trained(trained: Path) -> None:
    shards = {"path": "data/mine/sft", "fingerprint": "0" * 64}
    put_run("sft", str(MODELS["base"]), datasets=[shards])
    with pytest.raises(UserError, match="lists other shards than those that sft was trained on; run `make sft dpo "):
        facts_of("dpo")


def test_an_sft_of_after_the_dpo_is_not_shown_as_what_it_started_from(trained: Path) -> None:
    put_run("sft", str(MODELS["base"]), started=datetime(2026, 2, 1, tzinfo=UTC).isoformat())
    with pytest.raises(
        UserError, match="runs/mine/dpo: was trained before runs/mine/sft was trained anew; run `make dpo"
    ):
        facts_of("dpo")
    assert facts_of("sft").runs.keys() == {"sft"}


@pytest.mark.parametrize(
    ("file", "stage", "expected"),
    [
        ("data/mine/manifest.json", "sft", "data/mine/manifest.json: no such file, .*run `make data` first"),
        ("runs/mine/sft/run.json", "sft", "runs/mine/sft: no finished run; run `make sft RECIPE=mine` first"),
        ("runs/mine/sft/run.json", "dpo", "runs/mine/sft/run.json: no such file; run `make sft RECIPE=mine` first"),
    ],
)
def test_what_is_missing_is_named(trained: Path, file: str, stage: str, expected: str) -> None:
    Path(file).unlink()
    with pytest.raises(UserError, match=expected):
        facts_of(stage)


def test_a_run_that_was_interrupted_took_the_seconds_of_all_its_attempts(trained: Path) -> None:
    put_run("sft", "meta-llama/Llama-3.2-3B-Instruct", hours=1, seconds=7_200.0)
    assert "- Time: 2.0 h, 44 steps" in card_of("sft")


def test_a_run_of_an_earlier_version_has_its_dropped_rows_on_the_card(trained: Path) -> None:
    train = {"examples": 1_234, "tokens": 56_789, "trained": 12_345, "left_out": 7}
    put_run("sft", str(MODELS["base"]), rows={"train": train})
    assert "12,345 are trained answers; 7 rows were too long\n" in card_of("sft")


def test_a_run_file_of_something_else_is_named(trained: Path) -> None:
    (MODELS["sft"] / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"runs/mine/sft/run.json: .*: Field required; put it back, or train anew"):
        facts_of("sft")


def test_the_base_has_no_card(trained: Path) -> None:
    with pytest.raises(UserError, match="STAGE=base: the base model is not this project's; say sft or dpo"):
        facts_of("base")


@pytest.mark.parametrize(
    ("seconds", "korean", "english"),
    [(21, "21초", "21 s"), (119, "119초", "119 s"), (120, "2분", "2 min"), (29_520, "8.2시간", "8.2 h")],
)
def test_times_are_told_as_people_say_them(trained: Path, seconds: float, korean: str, english: str) -> None:
    put_run("sft", str(MODELS["base"]), seconds=seconds)
    assert f"- 시간: {korean}, 44스텝\n" in card_of("sft", "ko")
    assert f"- Time: {english}, 44 steps\n" in card_of("sft")


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("language", "said"), [("ko", "것이 아닌 코드를 실행했습니다(`guard_trust"), ("en", "ran in training (`guard_")]
)
def test_a_card_says_that_code_of_others_was_run(trained: Path, language: Language, said: str) -> None:
    assert said not in card_of("sft", language)
    config = json.loads((MODELS["sft"] / "run.json").read_text())["config"]
    put_run("sft", str(MODELS["base"]), config={**config, "trust_remote_code": True, "guard_trust_remote_code": True})
    assert said in card_of("sft", language)
