"""Looking at rows, at data and at runs: `rabbit inspect`, `rabbit report` and `rabbit curves`."""
