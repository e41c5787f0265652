"""Pairs of answers from a stage's own model: prompts, answers, verdicts, and the best against the worst."""
