"""What a judge is worth: it is asked about answers of which it is known how they differ, or that they do not."""
