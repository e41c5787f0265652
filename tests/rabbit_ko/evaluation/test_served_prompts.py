"""A server reads the ids that training read, in a base's own format: `transformers serve`, asked row by row."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from axolotl.utils.chat_templates import get_chat_template
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from dataset_builders.rows import Conversation, Row
from prompt_strategies.messages import Messages, every_answer
from prompt_strategies.native_template import with_fixed_date
from prompt_strategies.renderer import renderer_for
from prompt_strategies.tokens import Example, Sample
from tests.conftest import ROOT
from tests.prompt_strategies.conversations import MULTI_TURN, ONE_CALL, ROWS, TOOLS, as_given
from tests.prompt_strategies.native_templates import MAKERS, with_tokens
from tests.rabbit_ko.evaluation.serving import served

pytestmark = pytest.mark.slow
SPY = ROOT / "tests/rabbit_ko/evaluation/spied_server.py"
EACH = 40


def save_model(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a random model of a few thousand weights, and its tokenizer."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **ids)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def samples(messages: Messages, tools: str | None = None) -> list[Sample]:
    """Each answer of a conversation with what comes before it."""
    return [Sample(target[:-1], (target[-1],), tools) for target in every_answer(messages)]


def ask(address: str, model: Path, sample: Sample) -> None:
    """Ask a server as OpenAI's clients do, who give the arguments of calls as a text."""
    messages: list[dict[str, Any]] = [as_given(dict(message)) for message in sample.prompt]
    for call in (call for message in messages for call in message.get("tool_calls", [])):
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    question = {"model": str(model), "messages": messages, "max_tokens": 1}
    tools = {"tools": json.loads(sample.tools)} if sample.tools else {}
    httpx.post(f"{address}/v1/chat/completions", json={**question, **tools}, timeout=60).raise_for_status()


def test_a_server_reads_the_prompts_of_training(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase, smoke_rows: list[Row]
) -> None:
    tokenizer = with_tokens(smoke_tokenizer, MAKERS["llama3_2_vision"])
    tokenizer.chat_template = with_fixed_date(get_chat_template("llama3_2_vision"))
    rows = [row.messages for row in smoke_rows if isinstance(row, Conversation)]
    long, short = ([row for row in rows if (len(row) > 3) is is_long][:EACH] for is_long in (True, False))
    plain: list[Messages] = [*long, *short, MULTI_TURN]
    asked = [sample for messages in plain for sample in samples(messages)]
    asked += [sample for messages, tools in ROWS.values() for sample in samples(messages, tools)]
    asked += samples(ONE_CALL[:1] + MULTI_TURN[-1:], TOOLS)
    examples = renderer_for("prompt_strategies.native", tokenizer).tokenize(asked, 4096)
    kept = [(sample, row) for sample, row in zip(asked, examples, strict=True) if isinstance(row, Example)]
    assert sum(any(message["role"] == "tool" for message in sample.prompt) for sample, _ in kept) >= 1
    assert sum(sample.tools is not None for sample, _ in kept) >= 3
    assert sum(len(sample.prompt) > 3 for sample, _ in kept) >= 20

    save_model(in_tmp / "model", tokenizer)
    with served(f"python {SPY} {in_tmp / 'ids'} serve {in_tmp / 'model'} --port PORT") as address:
        for sample, _ in kept:
            ask(address, in_tmp / "model", sample)
    read = [json.loads(line) for line in (in_tmp / "ids").read_text().splitlines()]
    assert read == [list(row.prompt) for _, row in kept]
