"""Resume an interrupted run from its last complete checkpoint, where it is still the same run."""
