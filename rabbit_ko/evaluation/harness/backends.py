"""The harness's models of a stage: by transformers on this machine, vLLM, or an OpenAI-compatible server."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from axolotl_plugins.checks.model_files import check_adapter_fits, loading
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable
from rabbit_ko.evaluation.models import adapter_rank, load_tokenizer, spare_threads
from rabbit_ko.evaluation.stages import Stage, adapter_base

CHAT = "local-chat-completions"


@cache
def load_model(stage: Stage, kind: str, server: Endpoint | None, batch_size: str) -> Any:
    """Make the harness's model of a kind, once, with the stage's tokenizer. Raises UserError where that fails."""
    from lm_eval.api.registry import get_model

    with TemporaryDirectory(prefix="rabbit-ko-tokenizer-") as tokenizer:
        load_tokenizer(stage).save_pretrained(tokenizer)
        try:
            if server:
                options = _options_of_server(stage, server, kind, tokenizer)
            else:
                options = _options_here(stage, kind, tokenizer, batch_size)
            with nullcontext() if server else loading(stage.model, Path(stage.model)):
                lm = get_model(kind)(**options)
                if "peft" in options:
                    check_adapter_fits(lm.model, Path(stage.model))
                    # As it is served, and some layers shorter.
                    lm._model = lm.model.merge_and_unload()
                if kind == "hf":
                    spare_threads(lm.model)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{server.url if server else stage.model}: {reason(error)}") from None
    if server:
        create = lm._create_payload
        # `transformers serve` fails on an empty list of stop strings.
        lm._create_payload = lambda *arguments, **options: {
            key: value for key, value in create(*arguments, **options).items() if key != "stop" or value
        }
    return lm


@contextmanager
def released() -> Iterator[None]:
    """Let go of all models that are loaded, and of their memory, when what is done with them is done."""
    import torch

    try:
        yield
    finally:
        load_model.cache_clear()
        gc.collect()
        torch.cuda.empty_cache()


def _options_of_server(stage: Stage, server: Endpoint, kind: str, tokenizer: str) -> dict[str, Any]:
    from transformers import AutoConfig

    check_reachable(server)
    os.environ["OPENAI_API_KEY"] = server.key or "none"
    url = f"{server.url.rstrip('/')}/{'chat/completions' if kind == CHAT else 'completions'}"
    options = {"base_url": url, "model": server.model, "num_concurrent": server.concurrency, "max_retries": 5}
    if kind == CHAT:
        return options | {"tokenizer_backend": None}
    place = adapter_base(Path(stage.model)) or stage.model
    context = AutoConfig.from_pretrained(place, trust_remote_code=stage.trusted).get_text_config()
    return options | {"tokenizer": tokenizer, "max_length": context.max_position_embeddings}


def _options_here(stage: Stage, kind: str, tokenizer: str, batch_size: str) -> dict[str, Any]:
    import torch

    model, base = stage.model, adapter_base(Path(stage.model))
    options: dict[str, Any] = {"trust_remote_code": stage.trusted}
    options |= {"pretrained": base or model, "tokenizer": tokenizer, "dtype": "auto", "batch_size": "auto"}
    if kind == "vllm":
        # The harness would tell the chat template to think, which training leaves to it.
        options["enable_thinking"] = None
        return options | ({"lora_local_path": model, "max_lora_rank": adapter_rank(Path(model))} if base else {})
    on_gpu = torch.cuda.is_available()
    options["batch_size"] = batch_size if on_gpu or batch_size != "auto" else "8"
    return options | {"device": "cuda" if on_gpu else "cpu"} | ({"peft": model} if base else {})


def encode_as_trained(lm: Any, stage: Stage, in_prompt: bool) -> None:
    """Let the harness's model encode a stage's prompt and the answer after it as training does, or as the harness.

    The harness takes the line break at the prompt's end for a part of the answer, and lets the tokenizer put BOS
    before a prompt for which the chat template writes none. Bare text begins as each of its backends has it.
    """
    vars(lm).pop("_encode_pair", None)
    by_default = vars(lm).setdefault("bos_by_default", lm.add_bos_token)
    lm.add_bos_token = False if in_prompt else by_default
    if in_prompt and hasattr(lm, "_encode_pair"):
        lm._encode_pair = partial(_encode_apart if stage.headings else _encode_jointly, lm)


def _encode_apart(lm: Any, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    return lm.tok_encode(prompt), lm.tok_encode(answer, add_special_tokens=False)


def _encode_jointly(lm: Any, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    ids = lm.tok_encode(prompt)
    return ids, lm.tok_encode(prompt + answer)[len(ids) :]


def count_truncated(lm: Any, samples: dict[str, list[dict[str, Any]]]) -> int:
    """Count the prompts that leave too little room in the context, whose beginning the harness then cuts off."""

    def room(answer: Any) -> int:
        if isinstance(answer, dict):
            return int(answer.get("max_gen_toks", lm.max_gen_toks))
        return len(lm.tok_encode(answer, add_special_tokens=False))

    asked = {(text, room(answer)) for rows in samples.values() for row in rows for text, answer in row["arguments"]}
    return sum(len(lm.tok_encode(text)) + tokens > lm.max_length for text, tokens in asked)
