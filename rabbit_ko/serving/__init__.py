"""What serves a stage's model to OpenAI's clients, with its template, its stop tokens and its context."""
