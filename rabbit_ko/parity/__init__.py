"""Whether a model answers elsewhere as it does here: the same prompt, tokens, probabilities and end."""
