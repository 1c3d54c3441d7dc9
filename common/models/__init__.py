"""What is trained, and what a trained model is used by."""
