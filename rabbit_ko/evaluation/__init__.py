"""Trying a trained stage out, and measuring it."""
