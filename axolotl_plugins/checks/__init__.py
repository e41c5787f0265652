"""What must hold before a run starts; each check returns the first mistake as one line, or None."""
