"""Features of images, computed once and then read from disk."""

from captioning.features.cache import FeatureCache

__all__ = ["FeatureCache"]
