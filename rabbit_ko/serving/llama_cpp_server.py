"""`python -m rabbit_ko.serving.llama_cpp_server`: llama.cpp's server of the package xllamacpp, by its own options."""

import signal
from argparse import ArgumentParser, BooleanOptionalAction

import xllamacpp

from rabbit_ko.terminal import say

AUTOMATIC = -1
FLASH_ATTENTION = {
    "auto": xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "off": xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
CACHE = {"f16": xllamacpp.ggml_type.GGML_TYPE_F16, "f32": xllamacpp.ggml_type.GGML_TYPE_F32}


def main() -> None:
    """Serve until a signal ends it."""
    options = _parser().parse_args()
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = options.model, {options.alias}
    params.hostnames, params.port, params.n_ctx = [options.host], options.port, options.ctx_size
    params.n_parallel, params.cache_prompt = options.parallel, options.cache_prompt
    params.cors_origins = options.cors_origins
    if options.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.offline, params.ui = options.offline, options.webui
    params.flash_attn_type = FLASH_ATTENTION[options.flash_attn]
    params.cache_type_k, params.cache_type_v = CACHE[options.cache_type_k], CACHE[options.cache_type_v]
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path) for path in options.lora]
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:  # llama.cpp has said why
        raise SystemExit(1) from None
    say(f"serving at {server.listening_address}")
    signal.pause()


def _parser() -> ArgumentParser:
    """Return a parser of those of llama-server's options that this project gives."""
    parser = ArgumentParser(allow_abbrev=False)
    for name in ("--model", "--host", "--alias"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ctx-size", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=AUTOMATIC)
    parser.add_argument("--flash-attn", choices=FLASH_ATTENTION, default="auto")
    for name in ("--cache-type-k", "--cache-type-v"):
        parser.add_argument(name, choices=CACHE, default="f16")
    for name in ("--cache-prompt", "--webui"):
        parser.add_argument(name, action=BooleanOptionalAction, default=True)
    parser.add_argument("--cors-origins", default="localhost")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--lora", action="append", default=[])
    return parser


if __name__ == "__main__":
    main()
