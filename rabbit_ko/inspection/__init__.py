"""Looking at rows, at data and at runs."""
