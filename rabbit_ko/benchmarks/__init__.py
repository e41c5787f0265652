"""Timings, as tables for docs/benchmarks.md. `make bench WHAT=...`."""
