"""What is typed or pasted at a terminal is asked as it was meant, and the keys do what they do elsewhere."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from rabbit_ko.evaluation.line_editor import whole_characters
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.pseudo_terminal import PseudoTerminal

# The command itself, which also shows what it was asked; only a question for a long answer gets one.
CHAT = """
import json, sys
from rabbit_ko.evaluation import chat
real = chat.answer
def spied(model, tokenizer, messages, max_new_tokens, *rest):
    question = messages[-1]["content"]
    print("asked", json.dumps([len(messages), question]), "end", flush=True)
    if len(question) > 1_000:
        return "many characters", True
    return real(model, tokenizer, messages, max_new_tokens if "길게" in question else 4, *rest)
chat.answer = spied
from rabbit_ko.cli import main
main()
"""
ARGUMENTS = ("-c", CHAT, "chat", "--recipe", "mine", "--max-new-tokens", "8000", "--temperature", "0")
CONTEXT = 24_000
UP, BACKSPACE, ALT_ENTER, CTRL_C, CTRL_D = "\x1b[A", "\x7f", "\x1b\r", "\x03", "\x04"
# What is pasted is told from what is typed from here on, and the place for a question is drawn.
READY = r"\?2004h.*>"
LONG = ("나는 오늘 학교에 갔다. " * 1_000)[:9_999] + "끝"


def pasted(text: str) -> str:
    """Return what a terminal sends for a text that is pasted, where it says so."""
    return f"\x1b[200~{text}\x1b[201~"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, smoke_tokenizer: PreTrainedTokenizerBase) -> Path:
    """A working directory with a recipe whose model says nonsense."""
    folder = tmp_path_factory.mktemp("chat")
    configs, run = folder / "axolotl_configs/mine", folder / "runs/mine/sft"
    configs.mkdir(parents=True)
    (configs / "data.yaml").touch()
    entry = "datasets: [{path: data/mine/sft, type: prompt_strategies.qir}]\n"
    (configs / "sft.yaml").write_text(f"base_model: base\n{entry}plugins: [axolotl_plugins.guard.Guard]\n")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(smoke_tokenizer), max_position_embeddings=CONTEXT, **sizes))
    model.generation_config.suppress_tokens = [smoke_tokenizer.eos_token_id]
    for saved in (model, smoke_tokenizer):
        saved.save_pretrained(run)
    (run / "run.json").write_text('{"config": {"datasets": [{"type": "prompt_strategies.qir"}]}}')
    return folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[list[PseudoTerminal]]:
    """The chat that the tests share, if one is running: each leaves it where it may ask the next question."""
    running: list[PseudoTerminal] = []
    yield running
    for chat in running:
        chat.__exit__()


@pytest.fixture
def chat(folder: Path, shared: list[PseudoTerminal]) -> PseudoTerminal:
    """A chat that waits for a question."""
    if not shared or shared[-1].exit_code is not None:
        shared.append(PseudoTerminal([sys.executable, *ARGUMENTS], folder, environment(PYTHONPATH=str(ROOT))))
        shared[-1].expect(READY)
    return shared[-1]


def asked(chat: PseudoTerminal) -> str:
    """Return what was asked, after the answer, when the next question may be typed."""
    found = chat.expect(r'asked (\[.*?"\]) end')
    chat.expect(READY)
    return str(json.loads(found[1])[1])


def test_backspace_takes_a_whole_syllable(chat: PseudoTerminal) -> None:
    chat.send(f"안녕하세욧{BACKSPACE}요?\r")
    assert asked(chat) == "안녕하세요?"


@pytest.mark.parametrize("paste", [pasted, str], ids=["where the terminal says so", "as if typed"])
def test_ten_thousand_characters_are_pasted_whole(chat: PseudoTerminal, paste: type[str]) -> None:
    chat.send(paste(LONG) + "\r")
    assert asked(chat) == LONG


@pytest.mark.parametrize("paste", [pasted, str], ids=["where the terminal says so", "as if typed"])
def test_several_lines_that_are_pasted_are_one_question(chat: PseudoTerminal, paste: type[str]) -> None:
    chat.send(paste("다음 시를 읽어 줘.\r\r산에는 꽃 피네\r꽃이 피네"))
    chat.send("\r")
    assert asked(chat) == "다음 시를 읽어 줘.\n\n산에는 꽃 피네\n꽃이 피네"


def test_alt_enter_breaks_a_line(chat: PseudoTerminal) -> None:
    chat.send(f"하나{ALT_ENTER}")
    chat.send("둘\r")
    assert asked(chat) == "하나\n둘"


def test_arrow_up_brings_back_an_earlier_question_which_may_be_changed(chat: PseudoTerminal) -> None:
    chat.send("수도가 어디야?\r")
    assert asked(chat) == "수도가 어디야?"
    chat.send(f"{UP}{BACKSPACE}요?\r")
    assert asked(chat) == "수도가 어디야요?"


def test_ctrl_c_clears_what_is_typed(chat: PseudoTerminal) -> None:
    chat.send(f"이건 말고{CTRL_C}")
    chat.send("이것\r")
    assert asked(chat) == "이것"


@pytest.mark.hostile
def test_half_a_character_that_is_typed_is_none(chat: PseudoTerminal) -> None:
    chat.send("안녕".encode() + b"\xec\x95?\r")
    assert asked(chat) == "안녕��?"


def test_ctrl_c_stops_an_answer_and_the_conversation_keeps_what_there_is_of_it(chat: PseudoTerminal) -> None:
    chat.send("길게 말해 봐\r")
    before = json.loads(chat.expect(r'asked (\[.*?"\]) end\s+\S+')[1])[0]
    chat.send(CTRL_C)
    chat.expect(r"\[stopped\]\s")
    chat.expect(READY)
    chat.send("다음\r")
    assert json.loads(chat.expect(r'asked (\[.*?"\]) end')[1]) == [before + 2, "다음"]
    chat.expect(READY)


def test_a_question_that_is_too_long_is_told_and_the_conversation_stays(chat: PseudoTerminal) -> None:
    chat.send(pasted(LONG * 5) + "\r")
    chat.expect(r"\[the question has [\d,]+ tokens with its prompt, and 16,000 fit beside an answer of 8,000;")
    chat.expect(READY)
    chat.send("짧게\r")
    assert asked(chat) == "짧게"


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
def test_where_nothing_is_typed_ctrl_c_and_ctrl_d_leave_and_nothing_else_is_left(
    folder: Path, chat: PseudoTerminal, key: str
) -> None:
    chat.send("비밀\r")
    assert asked(chat) == "비밀"
    chat.send(key)
    assert chat.wait() == 0
    assert not any(said in chat.all_said for said in ("Traceback", "WARNING", "\x1b[6n"))
    assert not [file for file in folder.rglob("*") if file.is_file() and "비밀".encode() in file.read_bytes()]


def test_lines_of_a_pipe_are_questions_and_broken_bytes_in_them_are_replaced(folder: Path) -> None:
    lines = "첫째\n\n".encode() + b"\xec\x95 \xff\n" + "가".encode() * 5_000 + b"\n"
    command, variables = [sys.executable, *ARGUMENTS], environment(PYTHONPATH=str(ROOT))
    result = subprocess.run(command, cwd=folder, env=variables, input=lines, capture_output=True, timeout=120)
    assert (result.returncode, b"Traceback" in result.stderr) == (0, False)
    out = result.stdout.decode()
    questions = [json.loads(line[6:-4])[1] for line in out.splitlines() if line.startswith("asked ")]
    assert questions == ["첫째", "� �", "가" * 5_000]
    assert "> " not in out


@given(st.text(st.characters(codec=None)))
def test_whole_characters_can_stand_in_any_file_and_lose_nothing_else(text: str) -> None:
    whole = whole_characters(text)
    whole.encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert whole == text
