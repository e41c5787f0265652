"""Who answers: transformers on this machine, vLLM, or an OpenAI-compatible server."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError

from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation import models, records, stages
from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable, find_endpoint
from rabbit_ko.evaluation.stages import Stage

Backend = Literal["hf", "vllm"]
AT_ONCE, TIMEOUT = 8, 300.0


@dataclass(frozen=True)
class Answerer:
    """How a stage's model is reached. url: an OpenAI-compatible server, which serves it under `name`."""

    stage: Stage
    backend: Backend = "hf"
    url: str = ""
    name: str = ""
    batch_size: str = "auto"

    @property
    def endpoint(self) -> Endpoint | None:
        """The server, if there is one. Raises UserError where its URL or its key cannot be one."""
        return find_endpoint("MODEL", self.url, self.name, AT_ONCE, TIMEOUT) if self.url else None

    def model(self) -> records.Model:
        """Say which model it is."""
        fingerprint = stages.fingerprint(self.stage.model)
        if endpoint := self.endpoint:
            return records.Model(path=endpoint.place, fingerprint=fingerprint, backend="openai", name=self.name)
        return records.Model(path=self.stage.model, fingerprint=fingerprint, backend=self.backend)

    def load(self, folder: Path, generates: bool, in_prompt: bool) -> Any:
        """Make the harness's model, whose tokenizer is saved in `folder`. Raises UserError where that fails."""
        from lm_eval.api.registry import get_model

        if endpoint := self.endpoint:
            check_reachable(endpoint)
            os.environ["OPENAI_API_KEY"] = endpoint.key or "none"
        models.save_tokenizer(self.stage, folder)
        try:
            if self.url:
                is_chat = generates and in_prompt
                kind = "local-chat-completions" if is_chat else "local-completions"
                return _without_empty_stops(get_model(kind)(**self._server(folder, is_chat, in_prompt)))
            if self.backend == "vllm":
                return get_model("vllm")(**self._vllm(folder))
            lm = get_model("hf")(**self._hf(folder))
            if stages.adapter_base(Path(self.stage.model)):
                # As it is served, and some layers shorter.
                lm._model = lm.model.merge_and_unload()
            return lm
        except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise UserError(f"{self.model().path}: {reason(error)}") from None

    def _hf(self, tokenizer: Path) -> dict[str, Any]:
        import torch

        on_gpu = torch.cuda.is_available()
        batch_size = self.batch_size if on_gpu or self.batch_size != "auto" else "8"
        device = "cuda" if on_gpu else "cpu"
        options = {"tokenizer": str(tokenizer), "dtype": "auto", "batch_size": batch_size, "device": device}
        if beneath := stages.adapter_base(Path(self.stage.model)):
            return {"pretrained": beneath, "peft": self.stage.model, **options}
        return {"pretrained": self.stage.model, **options}

    def _vllm(self, tokenizer: Path) -> dict[str, Any]:
        options = {"tokenizer": str(tokenizer), "dtype": "auto", "batch_size": "auto"}
        if beneath := stages.adapter_base(Path(self.stage.model)):
            rank = models.adapter_rank(Path(self.stage.model))
            return {"pretrained": beneath, "lora_local_path": self.stage.model, "max_lora_rank": rank, **options}
        return {"pretrained": self.stage.model, **options}

    def _server(self, tokenizer: Path, is_chat: bool, in_prompt: bool) -> dict[str, Any]:
        way = "chat/completions" if is_chat else "completions"
        options = {
            "base_url": f"{self.url.rstrip('/')}/{way}",
            "model": self.name,
            "max_retries": 5,
            "num_concurrent": AT_ONCE,
        }
        if is_chat:
            return {**options, "tokenizer_backend": None}
        context = models.context_length(self.stage)
        # The recipe's prompt starts with BOS as it is.
        return {**options, "tokenizer": str(tokenizer), "add_bos_token": not in_prompt, "max_length": context}


def _without_empty_stops(lm: Any) -> Any:
    """Leave out a list of stop strings that has none, on which `transformers serve` fails."""
    create = lm._create_payload

    def create_payload(*arguments: Any, **options: Any) -> dict[str, Any]:
        return {key: value for key, value in create(*arguments, **options).items() if key != "stop" or value}

    lm._create_payload = create_payload
    return lm
