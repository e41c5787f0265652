"""The tasks of the model cards, through lm-evaluation-harness."""
