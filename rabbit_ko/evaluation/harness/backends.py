"""The harness's models of a stage: by transformers on this machine, vLLM, or an OpenAI-compatible server."""

import os
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

        if self.server:
            check_reachable(self.server)
            os.environ["OPENAI_API_KEY"] = self.server.key or "none"
            kind = "local-chat-completions" if generates and in_prompt else "local-completions"
        else:
            kind = self.backend
        with TemporaryDirectory(prefix="rabbit-ko-tokenizer-") as folder:
            load_tokenizer(self.stage).save_pretrained(folder)
            try:
                lm = get_model(kind)(**self._options(kind, folder, in_prompt))
                if kind == "hf" and adapter_base(Path(self.stage.model)):
                    # As it is served, and some layers shorter.
                    lm._model = lm.model.merge_and_unload()
            except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise UserError(f"{self.server.url if self.server else self.stage.model}: {reason(error)}") from None
        if self.server:
            _send_no_empty_stops(lm)
        return lm

    def _options(self, kind: str, tokenizer: str, in_prompt: bool) -> dict[str, Any]:
        if self.server:
            is_chat = kind == "local-chat-completions"
            url = f"{self.server.url.rstrip('/')}/{'chat/completions' if is_chat else 'completions'}"
            options = {"base_url": url, "model": self.server.model, "num_concurrent": self.server.concurrency}
            if is_chat:
                return options | {"max_retries": 5, "tokenizer_backend": None}
            # The recipe's prompt starts with BOS as it is.
            options |= {"max_retries": 5, "add_bos_token": not in_prompt}
            return options | {"tokenizer": tokenizer, "max_length": context_length(self.stage)}
        model, base = self.stage.model, adapter_base(Path(self.stage.model))
        options = {"pretrained": base or model, "tokenizer": tokenizer, "dtype": "auto", "batch_size": "auto"}
        if kind == "vllm":
            return options | ({"lora_local_path": model, "max_lora_rank": adapter_rank(Path(model))} if base else {})
        import torch

        on_gpu = torch.cuda.is_available()
        options["batch_size"] = self.batch_size if on_gpu or self.batch_size != "auto" else "8"
        return options | {"device": "cuda" if on_gpu else "cpu"} | ({"peft": model} if base else {})


def _send_no_empty_stops(lm: Any) -> None:
    """Send no list of stop strings that is empty, on which `transformers serve` fails."""
    create = lm._create_payload
    lm._create_payload = lambda *arguments, **options: {
        key: value for key, value in create(*arguments, **options).items() if key != "stop" or value
    }


def encode_apart(lm: Any, in_prompt: bool) -> None:
    """Let the harness's model encode a prompt and the answer after it apart, as in training, or as the harness does.

    The harness encodes them together, and takes the line break at the prompt's end for a part of the answer.
    """
    vars(lm).pop("_encode_pair", None)
    if in_prompt and hasattr(lm, "_encode_pair"):
        lm._encode_pair = lambda prompt, answer: (
            lm.tok_encode(prompt),
            lm.tok_encode(answer, add_special_tokens=False),
        )


def count_truncated(lm: Any, samples: dict[str, list[dict[str, Any]]]) -> int:
    """Count the prompts that leave too little room in the context, whose beginning the harness then cuts off."""

    def room(answer: Any) -> int:
        if isinstance(answer, dict):
            return int(answer.get("max_gen_toks", lm.max_gen_toks))
        return len(lm.tok_encode(answer, add_special_tokens=False))

    asked = {(text, room(answer)) for rows in samples.values() for row in rows for text, answer in row["arguments"]}
    return sum(len(lm.tok_encode(text)) + tokens > lm.max_length for text, tokens in asked)
