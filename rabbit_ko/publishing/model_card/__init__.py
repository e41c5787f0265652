"""The model card, and the push of a model with it."""
