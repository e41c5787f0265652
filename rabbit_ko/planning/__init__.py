"""What a recipe will need: memory, steps, tokens and hours, before a GPU is rented. `make plan RECIPE=...`."""
