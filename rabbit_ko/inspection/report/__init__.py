"""A page about a recipe's data: what became of its rows, how long they are, how they look. `make report`."""
