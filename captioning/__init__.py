"""Image in, sentence out."""

from captioning.captioner import Caption, Captioner

__all__ = ["Caption", "Captioner"]
