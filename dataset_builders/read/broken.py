"""A row that cannot be read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read: why, and what stands there."""

    reason: str
    text: str
