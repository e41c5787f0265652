"""See what a stage trains: rows as tokens, in the terminal and as a page. `make inspect`."""
