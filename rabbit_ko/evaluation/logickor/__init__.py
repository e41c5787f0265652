"""LogicKor: 42 questions of two turns in six categories, answered by a stage and judged by another model."""
