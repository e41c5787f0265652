"""Running a stage: whether it is up to date, what it needs first, and axolotl in its own process."""
