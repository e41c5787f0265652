"""`rabbit data`, `verify`, `diff`: the shards."""

from rabbit_ko.recipes import Recipe


def build_recipe(recipe: Recipe) -> None:
    """Build."""


def data_status(recipe: Recipe) -> str:
    """Status."""
    return "up to date"
