"""Training: the loop, batches, learning rates, checkpoints, and where the figures go."""
