"""Options as dataclasses: their bounds, and their way to JSON and back."""
