"""Judged benches: what a model at a server says of answers, and what its word is worth."""
