"""Training: the loop, its data and recipes. Needs torch."""
