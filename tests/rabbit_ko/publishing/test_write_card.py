"""The card shows what the model says, and its code runs."""

import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from prompt_strategies.template import QIR, render_prompt
from rabbit_ko.cli import main
from rabbit_ko.evaluation.models import generate, load_stage
from rabbit_ko.evaluation.stages import find_stage
from rabbit_ko.publishing.examples import MULTI_TURN, SINGLE_TURN, make_examples, read_picked
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.evaluation.serving import served
from tests.rabbit_ko.publishing.card_folder import CONFIG, card_of, put_run
from tests.rabbit_ko.publishing.model_folder import answer_nothing, make_models

CARD = MODELS["sft"] / "README.md"


TOKENS = 24


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut answers early, as these models have nothing to say."""
    monkeypatch.setattr("rabbit_ko.publishing.examples.MAX_NEW_TOKENS", TOKENS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, smoke_tokenizer: PreTrainedTokenizerBase) -> Path:
    """A folder with the recipe and its models."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_models(smoke_tokenizer)
    return folder


@pytest.fixture
def models(made: Path, in_tmp: Path) -> Path:
    """A working directory with the recipe and its models."""
    shutil.copytree(made, in_tmp, dirs_exist_ok=True)
    return in_tmp


def run_card(*arguments: str) -> int:
    """Run the command line; return its exit code."""
    with pytest.raises(SystemExit) as exited:
        main(["card", "--recipe", "mine", *arguments])
    assert isinstance(exited.value.code, int)
    return exited.value.code


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_examples_are_the_likeliest_answers_to_the_prompts_that_are_shown(models: Path) -> None:
    stage = find_stage("mine", "sft")
    model, tokenizer = load_stage(stage)
    single, multi = make_examples(model, tokenizer, "짧게 답하세요.")
    asked = [{"role": "system", "content": "짧게 답하세요."}, {"role": "user", "content": SINGLE_TURN[0]}]
    [answer] = generate(model, tokenizer, [asked], TOKENS)
    assert single.text == f"{tokenizer.bos_token}{render_prompt(QIR, asked)}{answer.text.strip()}"
    assert single.is_cut
    assert multi.text.startswith(f"{tokenizer.bos_token}### Question:\n{MULTI_TURN[0]}\n### Response:\n")
    assert f"\n### Question:\n{MULTI_TURN[1]}\n\n### Response:\n" in multi.text
    assert "### Instruction:" not in multi.text


def test_an_answer_that_ends_by_itself_ends_with_eos_and_is_not_called_cut(models: Path) -> None:
    answer_nothing(MODELS["sft"] / "merged")
    (MODELS["sft"] / "adapter_config.json").unlink()
    (MODELS["sft"] / "adapter_model.safetensors").unlink()
    shutil.copytree(MODELS["sft"] / "merged", MODELS["sft"], dirs_exist_ok=True)
    model, tokenizer = load_stage(find_stage("mine", "sft"))
    for example in make_examples(model, tokenizer, ""):
        assert example.text.endswith(f"### Response:\n{tokenizer.eos_token}")
        assert not example.is_cut


def test_the_command_replaces_what_the_trainer_wrote(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "rabbit-ko" not in CARD.read_text(encoding="utf-8")
    Path("good.yaml").write_text("question: 수도는?\nanswer: |\n  서울\n  입니다.\n", encoding="utf-8")
    Path("bad.json").write_text('{"question": "하나 더하기 하나는?", "answer": "셋"}', encoding="utf-8")
    assert run_card("--license", "mit") == 1  # a source states none
    assert run_card("--good", "good.yaml", "--bad", "bad.json", "--license", "other") == 0
    assert capsys.readouterr().out == f"{CARD}\n"
    card = CARD.read_text(encoding="utf-8")
    assert ModelCard(card).data.license == "other"
    assert "```text\n서울\n입니다.\n\n```" in card
    assert "```text\n셋\n```" in card
    assert f"### Instruction:\n{CONFIG['system_prompt']}\n\n### Response:\n" in card
    assert card.count(f"{TOKENS}토큰에서 잘") == 2


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--stage", "sft", "--good", "none.yaml"], 1, "error: none.yaml: no such file\n"),
        (["--bad", "list.yaml"], 1, "error: list.yaml: not an answer to show; write YAML with `question:`"),
        (["--stage", "dpo"], 1, "error: runs/mine/dpo: no finished run; run `make dpo RECIPE=mine` first\n"),
        (["--stage", "base"], 2, "error: STAGE=base: the base model is not this project's; say sft\n"),
        (["--recipe", "mein"], 2, "error: RECIPE=mein: there is no such recipe; did you mean `mine`?\n"),
        (["--lang", "fr"], 2, "'fr' is not one of 'ko', 'en'"),
        (["--license", "MIT License"], 2, "say it by the hub's name"),
    ],
)
def test_what_is_wrong_is_one_line(
    models: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, expected: str
) -> None:
    Path("list.yaml").write_text("- question\n- answer\n")
    before = CARD.read_bytes()
    assert run_card(*arguments) == status
    said = capsys.readouterr().err
    assert expected in said.replace("\n│ ", "")
    assert "Traceback" not in said
    assert CARD.read_bytes() == before


def test_without_a_finished_run_there_is_no_stage_to_describe(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (MODELS["sft"] / "run.json").unlink()
    assert run_card() == 1
    assert capsys.readouterr().err == "error: runs/mine: no finished run; run `make sft RECIPE=mine` first\n"


def test_weights_that_cannot_be_loaded_are_named_and_the_old_card_stays(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    CARD.write_text("old")
    (MODELS["base"] / "model.safetensors").unlink()
    assert run_card() == 1
    assert re.fullmatch("error: runs/mine/base: the model cannot be loaded: .*\n", capsys.readouterr().err)
    assert CARD.read_text() == "old"


@pytest.mark.parametrize(
    ("where", "error", "status", "expected"),
    [
        ("examples.make_examples", KeyboardInterrupt(), 130, "error: interrupted"),
        (
            "model_card.write",
            OSError(errno.ENOSPC, "", "runs/mine/sft/README.md"),
            1,
            "error: .*README.md: No space left",
        ),
    ],
)
def test_a_card_that_breaks_off_leaves_the_old_one(
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    error: BaseException,
    status: int,
    expected: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    before = CARD.read_bytes()
    monkeypatch.setattr(f"rabbit_ko.publishing.{where}", fail)
    assert run_card() == status
    assert re.search(f"^{expected}.*\n$", capsys.readouterr().err, re.MULTILINE)
    assert CARD.read_bytes() == before


@pytest.mark.parametrize("text", ["question: a", "question: 1\nanswer: b", "question: a\nanswer: b\nid: 3", "{"])
def test_only_a_question_and_an_answer_are_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "shown.yaml"
    file.write_text(text)
    with pytest.raises(Exception, match=r"shown.yaml: not (an answer to show|valid YAML)"):
        read_picked(file)


@pytest.mark.parametrize("folder", [MODELS["sft"], MODELS["sft"] / "merged"])
def test_the_code_for_transformers_runs(models: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = blocks(card_of("sft"), "python")
    scope: dict[str, Any] = {}
    exec(code.replace("org/name", str(folder)).replace("256", str(TOKENS)), scope)
    said = capsys.readouterr().out.strip()
    model, tokenizer = load_stage(find_stage("mine", "sft"))
    [expected] = generate(model, tokenizer, [scope["messages"]], TOKENS)
    assert said == expected.text.strip() != ""


@pytest.fixture
def server(models: Path) -> Iterator[str]:
    """The server that the card starts, for the merged model; its URL."""
    command, *_ = blocks(card_of("sft"), "sh")
    with served(command.replace("org/name", str(MODELS["sft"] / "merged")).replace("8000", "PORT")) as address:
        yield address


@pytest.mark.slow
def test_the_commands_for_a_server_run(models: Path, server: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, code = blocks(card_of("sft"), "python")
    exec(code.replace("org/name", str(MODELS["sft"] / "merged")).replace("http://localhost:8000", server), {})
    said = capsys.readouterr().out.strip()
    question = re.search('"content": "(.*)"}', code)
    assert question
    model, tokenizer = load_stage(find_stage("mine", "sft"))
    [expected] = generate(model, tokenizer, [[{"role": "user", "content": question[1]}]], 256)
    assert said == expected.text.strip()


def test_the_saved_tokenizer_writes_the_form_that_is_shown(models: Path) -> None:
    put_run("sft", str(MODELS["base"]))
    template = blocks(card_of("sft"), "text")[1]
    tokenizer = AutoTokenizer.from_pretrained(MODELS["sft"])
    roles = {"system": "{system message}", "user": "{question}", "assistant": "{answer}"}
    messages = [{"role": role, "content": content} for role, content in roles.items()]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert template == rendered.replace(tokenizer.bos_token, "<s>").replace(tokenizer.eos_token, "</s>") + "\n"
