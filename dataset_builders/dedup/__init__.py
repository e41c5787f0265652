"""Rows of one kind that say the same, or nearly the same."""
