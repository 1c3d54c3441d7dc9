"""Data with a known truth: scenes and phrases. Nothing here imports torch."""
