"""Go's template engine, and the tokenizers of native templates."""

from tests.prompt_strategies.conftest import native
from tests.rabbit_ko.export.go_engine import go_render

__all__ = ["go_render", "native"]
