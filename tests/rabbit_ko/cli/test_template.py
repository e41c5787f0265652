"""`rabbit template check`: what is printed, the exit code, and models and templates that mean harm."""

import json
from pathlib import Path

import pytest
from axolotl.utils.chat_templates import get_chat_template
from transformers import LlamaConfig, PreTrainedTokenizerBase

from rabbit_ko.cli import main
from tests.stages import in_llama_format, save_base

Result = tuple[int, str, str]
END_OF_TURN = "<|eot_id|>"
REFUSING = LlamaConfig.__class_validators__
CODE = json.dumps({"auto_map": {"AutoTokenizer": ["tokenizing.Tokenizer", None]}})


@pytest.fixture
def model(tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase) -> Path:
    """A model that speaks Llama-3.2's format, and stops at two tokens."""
    stops = smoke_tokenizer.convert_tokens_to_ids([smoke_tokenizer.eos_token, END_OF_TURN])
    save_base(tmp_path / "model", in_llama_format(smoke_tokenizer), eos_token_id=stops)
    return tmp_path / "model"


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """Run the command; returns exit code, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main(["template", "check", *map(str, arguments)])
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def test_each_promise_has_its_verdict_and_rows_follow(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = check(capsys, model)
    assert code == 0
    assert f"holds  ends an answer with EOS, once: {END_OF_TURN} ends each answer\n" in shown
    assert f"stops at '<|end_of_text|>', '{END_OF_TURN}'\n" in shown
    assert "rows   writes reasoning: rows with it are dropped: " in shown
    assert "broken" not in shown
    assert f"도쿄입니다.⟦{END_OF_TURN}⟧" in shown
    assert '{"name": "get_weather", "parameters": {"city": "서울"}}⟦' in shown


def test_a_broken_promise_is_the_exit_code_and_says_what_to_do(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, _ = check(capsys, model, "--eos-token", "<|end_of_text|>")
    assert code == 1
    assert f"does not follow the answer, but '{END_OF_TURN}'; set `special_tokens.eos_token: {END_OF_TURN}`" in shown
    assert "       | ax1za<|eot_id|>\n" in shown
    assert shown.endswith("\n1 broken: the guard refuses a run with this template\n")


def test_an_eos_that_generation_does_not_stop_at_is_broken(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "eos_token_id": 1}))
    code, shown, _ = check(capsys, model)
    assert code == 1
    assert "broken generation stops at EOS: the model's generation config stops at '<|end_of_text|>', not at" in shown


def test_without_a_model_beside_the_tokenizer_nothing_is_said_of_where_it_stops(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in model.iterdir():
        if not file.name.startswith(("tokenizer", "chat_template")):
            file.unlink()
    code, shown, _ = check(capsys, model)
    assert code == 0
    assert "generation stops" not in shown


def test_a_model_whose_heads_do_not_divide_its_width_has_a_report(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LlamaConfig, "__class_validators__", REFUSING)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "hidden_size": 66, "head_dim": 16}))
    assert check(capsys, model)[0] == 0


def test_a_template_is_taken_by_its_name_or_from_a_file(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "chat_template.jinja").unlink()
    assert check(capsys, model) == (
        1,
        "",
        "error: chat_template: missing, and the base's tokenizer has none; name axolotl's, or a file\n",
    )
    by_name = check(capsys, model, "--template", "llama3")
    (model / "mine.jinja").write_text(get_chat_template("llama3"))
    assert check(capsys, model, "--template", model / "mine.jinja") == by_name
    assert by_name[0] == 0


def test_json_has_all_examples_and_every_token_of_the_rows(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = check(capsys, model, "--json")
    found = json.loads(shown)
    assert code == 0
    assert {each["verdict"] for each in found["findings"]} == {"holds", "rows"}
    [sequence] = found["rows"]["a conversation"]
    trained = "".join(piece["text"] for piece in sequence if piece["trained"])
    assert trained == f"서울입니다.{END_OF_TURN}도쿄입니다.{END_OF_TURN}"
    assert found["rows"]["reasoning"] == {"dropped": "tools or reasoning, which the template does not render"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--template", "lama3"],
            2,
            "--template: `lama3` is neither a file nor one of axolotl's; did you mean `llama3`?",
        ),
        (["--eos-token", "<|im_end|>"], 2, "--eos-token: <|im_end|> is not in the vocabulary of "),
        ([], 1, "/nowhere: no such folder; name one with a tokenizer, or a model on the hub"),
    ],
)
def test_a_mistake_is_said_in_one_line(
    model: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    result, shown, told = check(capsys, model if arguments else model / "nowhere", *arguments)
    assert (result, shown, len(told.splitlines())) == (code, "", 1)
    assert said in told


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer_config.json", CODE, "tokenizer_config.json: auto_map: names code that would run as you"),
        ("config.json", CODE, "config.json: auto_map: names code that would run as you"),
        ("tokenizer.json", "{", "tokenizer.json: damaged: "),
        ("tokenizer.json", "{}", "the tokenizer cannot be loaded: "),
        ("generation_config.json", "[" * 100_000, "generation_config.json: damaged: nested too deeply"),
    ],
)
def test_a_model_that_names_code_or_is_damaged_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, said: str
) -> None:
    (model / name).write_text(content)
    code, shown, told = check(capsys, model)
    assert (code, shown, len(told.splitlines())) == (1, "", 1)
    assert said in told


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for %}", "broken renders a conversation: a question and an answer are refused: "),
        ("{{ ''.__class__.__mro__ }}", "broken renders a conversation: a question and an answer are refused: "),
        ("{{ messages[0].content }}\x1b]0;x\x07\u202e{{ eos_token }}", "␛]0;x␇\\u202e"),
    ],
)
def test_a_template_runs_no_code_and_drives_no_terminal(
    model: Path, capsys: pytest.CaptureFixture[str], template: str, said: str
) -> None:
    (model / "mine.jinja").write_text(template)
    code, shown, told = check(capsys, model, "--template", model / "mine.jinja")
    assert (code, told) == (1, "")
    assert said in shown
    assert not set(shown) & set("\x1b\x07\u202e")
