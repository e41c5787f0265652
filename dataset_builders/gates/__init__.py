"""Gates: small functions that keep a row, or give a reason and evidence."""
