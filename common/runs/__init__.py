"""The run folder: what a result needs, written and read."""
