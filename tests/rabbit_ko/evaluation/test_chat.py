"""Chat asks a stage, and a long conversation loses its oldest exchanges, as in training."""

import io
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from axolotl.utils.chat_templates import get_chat_template
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from rabbit_ko.errors import UserError, printable
from rabbit_ko.evaluation.chat import TooLong, answer, fit
from rabbit_ko.evaluation.models import Sampling, encode_chat, generate, stops
from rabbit_ko.terminal import BREAKS
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, make_recipe


@pytest.fixture
def model(smoke_tokenizer: PreTrainedTokenizerBase) -> Any:
    """A random model with room for 256 tokens."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(smoke_tokenizer), max_position_embeddings=256, **sizes)).eval()


def test_a_recipe_without_a_stage_is_one_line(in_tmp: Path) -> None:
    make_recipe()
    shutil.rmtree("runs")
    result = rabbit("chat", "--recipe", "mine")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: runs/mine/sft: no finished run; run `make sft RECIPE=mine` first\n"


@pytest.fixture
def stage(in_tmp: Path, model: Any, smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    """A working directory with a recipe, whose stage has the random model."""
    make_recipe()
    for saved in (model, smoke_tokenizer):
        saved.save_pretrained(MODELS["sft"])
    (MODELS["sft"] / "run.json").write_text('{"config": {"datasets": [{"type": "prompt_strategies.qir"}]}}')


def ask(prompt: str, *options: str, longest: int = 4) -> Ran:
    """Ask the stage one question."""
    given = ("--max-new-tokens", str(longest), "--temperature", "0", *options)
    return rabbit("chat", "--recipe", "mine", "--stage", "sft", "--prompt", prompt, *given)


def test_a_question_is_answered_by_the_stage_that_is_asked(stage: None) -> None:
    result = ask("안녕하세요?")
    assert (result.exit_code, result.stderr) == (0, "[runs/mine/sft]\n[cut after 4 tokens]\n")
    assert result.stdout.strip()


@pytest.mark.hostile
def test_half_a_character_on_the_command_line_is_replaced(stage: None) -> None:
    assert ask("안\udcec\udc95?", "--system", "\ud800답") == ask("안��?", "--system", "�답")


@pytest.mark.parametrize(
    ("prompt", "longest", "said"),
    [
        (
            "날씨가 맑습니다. " * 60,
            56,
            "the question has {} tokens with its prompt, and 200 fit beside an answer of 56; ask a shorter one, or "
            "say --max-new-tokens",
        ),
        ("안녕?", 256, "--max-new-tokens 256: the model's context has 256 tokens; say fewer"),
    ],
)
def test_a_prompt_that_is_too_long_is_one_line(
    stage: None, smoke_tokenizer: PreTrainedTokenizerBase, prompt: str, longest: int, said: str
) -> None:
    tokens = len(encode_chat(smoke_tokenizer, [{"role": "user", "content": prompt}])["input_ids"])
    result = ask(prompt, longest=longest)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"[runs/mine/sft]\nerror: {said.format(tokens)}\n"


def test_what_no_longer_fits_is_told_once_and_a_question_without_an_answer_is_a_failure(
    stage: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["오늘 날씨는 어떤가요?"] * 5 + ["아주 긴 질문입니다. " * 60, "끝인가요?"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
    result = rabbit("chat", "--recipe", "mine", "--stage", "sft", "--max-new-tokens", "60", "--temperature", "0")
    said = [line for line in result.stderr.splitlines() if "cut after" not in line]
    assert result.exit_code == 1
    assert said.pop() == "error: questions that are too long, and have no answer: 1"
    assert len(result.stdout.splitlines()) >= len(lines) - 1
    assert said[0] == "[runs/mine/sft]"
    assert said[1] == "[earlier exchanges that no longer fit, and are dropped: 1]"
    assert sum("the question has" in line for line in said) == 1
    assert len(said) <= 1 + len(lines)


def test_an_answer_says_whether_it_ended_by_itself(
    model: Any, smoke_tokenizer: PreTrainedTokenizerBase, capsys: pytest.CaptureFixture[str]
) -> None:
    question = [{"role": "user", "content": "안녕하세요?"}]
    text, ended = answer(model, smoke_tokenizer, question, max_new_tokens=5, temperature=0)
    assert not ended
    assert capsys.readouterr().out.strip() == printable(text, keep=BREAKS).strip()
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.weight[smoke_tokenizer.eos_token_id] = model.model.embed_tokens.weight.mean(0)
    model.generation_config.suppress_tokens = [i for i in range(len(smoke_tokenizer)) if i != 1]
    assert answer(model, smoke_tokenizer, question, max_new_tokens=5, temperature=0) == ("", True)


def test_an_answer_ends_at_each_token_that_the_generation_config_stops_at(
    model: Any, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    end_of_turn = smoke_tokenizer.convert_tokens_to_ids("<|eot_id|>")
    model.generation_config.eos_token_id = [3, end_of_turn]
    assert stops(model, smoke_tokenizer) == [smoke_tokenizer.eos_token_id, 3, end_of_turn]
    question = [{"role": "user", "content": "안녕하세요?"}]
    for stop in stops(model, smoke_tokenizer):
        model.generation_config.suppress_tokens = [token for token in range(len(smoke_tokenizer)) if token != stop]
        assert answer(model, smoke_tokenizer, question, max_new_tokens=5, temperature=0) == ("", True)
        assert generate(model, smoke_tokenizer, [question, question], 5) == [("", False)] * 2


def test_what_a_model_thought_goes_back_to_the_template_which_takes_it_out_of_earlier_answers(
    smoke_tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer = deepcopy(smoke_tokenizer)
    tokenizer.chat_template = get_chat_template("qwen3")
    question, thought = {"role": "user", "content": "1+1?"}, "<think>\n하나에 하나를 더한다.\n</think>\n\n2입니다."
    messages = [question, {"role": "assistant", "content": thought}, question]
    read = tokenizer.decode(encode_chat(tokenizer, messages)["input_ids"])
    assert "2입니다." in read
    assert "하나에 하나를" not in read


def test_a_conversation_that_is_too_long_loses_its_oldest_exchanges(
    model: Any, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    system = {"role": "system", "content": "친절하게 답하세요."}
    turn = [{"role": "user", "content": "오늘 날씨는?"}, {"role": "assistant", "content": "맑습니다. " * 20}]
    left = fit(model, smoke_tokenizer, [system, *turn * 9, turn[0]], max_new_tokens=20)
    kept = (len(left) - 2) // 2
    assert left == [system, *turn * kept, turn[0]]
    assert 0 < kept < 9
    for count in (kept, kept + 1):
        tokens = len(encode_chat(smoke_tokenizer, [system, *turn * count, turn[0]])["input_ids"])
        assert (tokens + 20 <= 256) == (count == kept)
    with pytest.raises(TooLong):
        fit(model, smoke_tokenizer, [system, *turn, {"role": "user", "content": "맑습니다. " * 90}], 20)
    with pytest.raises(UserError, match="the model's context has 256 tokens"):
        fit(model, smoke_tokenizer, turn[:1], 300)


def test_what_a_models_own_config_adds_to_sampling_is_switched_off_and_left_as_it_is(
    model: Any, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    questions = [[{"role": "user", "content": text}] for text in ("안녕하세요?", "수도는 어디인가요?")]
    sampling = Sampling(n=2, temperature=1.0, top_p=1.0, seed=3)
    plain = generate(model, smoke_tokenizer, questions, 8, sampling)
    greedy = generate(model, smoke_tokenizer, questions, 8)
    settings: dict[str, Any] = {
        "min_p": 0.9,
        "typical_p": 0.1,
        "no_repeat_ngram_size": 1,
        "min_new_tokens": 8,
        "top_k": 1,
    }
    settings |= {"repetition_penalty": 5.0, "epsilon_cutoff": 0.5, "eta_cutoff": 0.5, "bad_words_ids": [[9], [10]]}
    settings |= {"suppress_tokens": [*range(3, 300)], "forced_eos_token_id": 3, "num_beams": 2, "top_h": 0.1}
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
        own = model.generation_config
        assert generate(model, smoke_tokenizer, questions, 8, sampling) == plain, name
        assert model.generation_config is own
        setattr(model.generation_config, name, None)
    assert generate(model, smoke_tokenizer, questions, 8) == greedy
