"""The sources, found by being there: each module without `_` in front has a constant `SOURCE`, and is its name."""

from importlib import import_module
from pkgutil import iter_modules

from dataset_builders.sources._source import Source

_NAMES = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
SOURCES: dict[str, Source] = {name: import_module(f"{__name__}.{name}").SOURCE for name in _NAMES}


def find_upstream(path: str) -> Source | None:
    """Return the source whose upstream data set has this name on the hub, in upper or lower case."""
    page = f"/datasets/{path}".lower()
    return next((source for source in SOURCES.values() if source.license.stated.lower().endswith(page)), None)
