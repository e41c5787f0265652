"""The harness's models of a stage: by transformers on this machine, vLLM, or an OpenAI-compatible server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from safetensors import SafetensorError

from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable
from rabbit_ko.evaluation.models import adapter_rank, context_length, load_tokenizer
from rabbit_ko.evaluation.stages import Stage, adapter_base

Backend = Literal["hf", "vllm"]


@dataclass(frozen=True)
class Answerer:
    """How a stage's model is reached: by a backend on this machine, or at a server that has it."""

    stage: Stage
    backend: Backend = "hf"
    server: Endpoint | None = None
    batch_size: str = "auto"

    def load(self, generates: bool, in_prompt: bool) -> Any:
        """Make the harness's model, with the stage's tokenizer. Raises UserError where that fails."""
        from lm_eval.api.registry import get_model

        with TemporaryDirectory(prefix="rabbit-ko-tokenizer-") as folder:
            if self.server:
                check_reachable(self.server)
                os.environ["OPENAI_API_KEY"] = self.server.key or "none"
            load_tokenizer(self.stage).save_pretrained(folder)
            try:
                if self.server and generates and in_prompt:
                    lm = get_model("local-chat-completions")(**_chat_options(self.server))
                    return _without_empty_stops(lm)
                if self.server:
                    lm = get_model("local-completions")(**self._completion_options(self.server, folder, in_prompt))
                    return _without_empty_stops(lm)
                lm = get_model(self.backend)(**self._local_options(folder))
                if self.backend == "hf" and adapter_base(Path(self.stage.model)):
                    # As it is served, and some layers shorter.
                    lm._model = lm.model.merge_and_unload()
            except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise UserError(
                    f"{self.server.place if self.server else self.stage.model}: {reason(error)}"
                ) from None
        return lm

    def _local_options(self, tokenizer: str) -> dict[str, Any]:
        model, base = self.stage.model, adapter_base(Path(self.stage.model))
        options = {"pretrained": base or model, "tokenizer": tokenizer, "dtype": "auto", "batch_size": "auto"}
        if self.backend == "vllm":
            return options | ({"lora_local_path": model, "max_lora_rank": adapter_rank(Path(model))} if base else {})
        import torch

        on_gpu = torch.cuda.is_available()
        options["batch_size"] = self.batch_size if on_gpu or self.batch_size != "auto" else "8"
        options["device"] = "cuda" if on_gpu else "cpu"
        return options | ({"peft": model} if base else {})

    def _completion_options(self, server: Endpoint, tokenizer: str, in_prompt: bool) -> dict[str, Any]:
        # The recipe's prompt starts with BOS as it is.
        options = {"tokenizer": tokenizer, "add_bos_token": not in_prompt, "max_length": context_length(self.stage)}
        return _server_options(server, "completions") | options


def _chat_options(server: Endpoint) -> dict[str, Any]:
    return _server_options(server, "chat/completions") | {"tokenizer_backend": None}


def _server_options(server: Endpoint, path: str) -> dict[str, Any]:
    return {
        "base_url": f"{server.url.rstrip('/')}/{path}",
        "model": server.model,
        "max_retries": 5,
        "num_concurrent": server.concurrency,
    }


def _without_empty_stops(lm: Any) -> Any:
    """Send no list of stop strings that has none, on which `transformers serve` fails."""
    create = lm._create_payload

    def create_payload(*arguments: Any, **options: Any) -> dict[str, Any]:
        return {key: value for key, value in create(*arguments, **options).items() if key != "stop" or value}

    lm._create_payload = create_payload
    return lm


@contextmanager
def encoded_apart(lm: Any, in_prompt: bool) -> Iterator[None]:
    """Encode a prompt and the answer after it apart, as in training.

    The harness encodes them together, and takes the line break at the prompt's end for a part of the answer.
    """
    if not in_prompt or not hasattr(lm, "_encode_pair"):
        yield
        return
    together = lm._encode_pair
    lm._encode_pair = lambda prompt, answer: (
        lm.tok_encode(prompt),
        lm.tok_encode(answer, add_special_tokens=False),
    )
    try:
        yield
    finally:
        lm._encode_pair = together


def count_truncated(lm: Any, samples: dict[str, list[dict[str, Any]]]) -> int:
    """Count the prompts that leave too little room in the context, whose beginning the harness then cuts off."""

    def room(answer: Any) -> int:
        if isinstance(answer, dict):
            return int(answer.get("max_gen_toks", lm.max_gen_toks))
        return len(lm.tok_encode(answer, add_special_tokens=False))

    asked = {(text, room(answer)) for rows in samples.values() for row in rows for text, answer in row["arguments"]}
    return sum(len(lm.tok_encode(text)) + tokens > lm.max_length for text, tokens in asked)
