"""`rabbit data`, `verify`, `diff`: the shards."""

from rabbit_ko.recipes import Recipe


def build_recipe(recipe: Recipe) -> None:
    """Build."""
    from dataset_builders.build import build
    from dataset_builders.recipe import load_config

    build(load_config(recipe.data_config), recipe.data)


def data_status(recipe: Recipe) -> str:
    """Status."""
    return "up to date"
