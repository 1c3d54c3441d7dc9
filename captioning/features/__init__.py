"""Features of images, computed before: by the cache, or by anything else."""

from captioning.features.cache import cached_features
from captioning.features.folder import FeatureFolder

__all__ = ["FeatureFolder", "cached_features"]
