"""Tasks that the harness does not have, in its own format, and how their answers are read."""
