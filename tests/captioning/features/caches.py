"""What the tests of feature caches compare with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from captioning.backbone import Backbone
from captioning.features import FeatureCache
from captioning.transform import ImageTransform

COUNT = 22
TRANSFORM = ImageTransform(size=64)
QUIET = {"batch_size": 4, "progress": False}


def computed(backbone: Backbone, paths: Sequence[Path], mirror: bool = False) -> torch.Tensor:
    with torch.no_grad():
        return backbone(TRANSFORM(paths, mirror))


def assert_same(features: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for the rounding to fp16, relative to 1/1024 of each value."""
    assert features.dtype == torch.float16
    torch.testing.assert_close(features.float(), expected.float(), rtol=1e-3, atol=1e-3)


def record(cache: FeatureCache) -> dict:
    return json.loads((cache.folder / "record.json").read_text())
