"""Licenses of base models: which one a base is under, what it asks of whoever passes on what was made of it."""
