"""The figures of a recipe's stages side by side."""
