"""llama.cpp's own server on a file, as it is for its users: what it makes of texts and conversations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import xllamacpp


class LlamaServer(httpx.Client):
    """A client of the server."""

    def ask(self, route: str, **body: Any) -> Any:
        """Return what the server answers."""
        return self.post(route, json=body).raise_for_status().json()

    def ids(self, text: str, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Return a text's tokens."""
        asked = {"content": text, "add_special": add_special, "parse_special": parse_special}
        tokens: list[int] = self.ask("/tokenize", **asked)["tokens"]
        return tokens

    def stops_at(self, token: int) -> bool:
        """Tell whether an answer ends where the model takes this token, which it is made to take at once."""
        said = self.ask("/completion", prompt="가", n_predict=2, logit_bias=[[token, 1_000]], temperature=0)
        return bool(said["stop_type"] == "eos")


@contextmanager
def serving(file: Path, adapter: Path | None = None) -> Iterator[LlamaServer]:
    """Serve a file, an adapter's added to it, with a cache in float32."""
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.warmup = str(file), 512, 1, False
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if adapter:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    server = xllamacpp.Server(params)
    with LlamaServer(base_url=server.listening_address, timeout=60) as client:
        yield client
