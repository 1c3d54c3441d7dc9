"""What the tests of feature caches compare with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from captioning.backbone import Backbone
from captioning.features import FeatureFolder, cached_features
from captioning.transform import ImageTransform
from tests.tolerances import rounding

COUNT = 22
TRANSFORM = ImageTransform(size=64)


def build(
    directory: Path, paths: Sequence[Path], backbone: Backbone, transform=TRANSFORM, **options: Any
) -> FeatureFolder:
    """A cache without damage."""
    cache, damaged = cached_features(directory, paths, backbone, transform, batch_size=4, **options)
    assert damaged == {}
    return cache


def read(cache: FeatureFolder, rows: Sequence[int] = range(COUNT), mirrored=None) -> torch.Tensor:
    (features,) = cache.read(rows, mirrored)
    return features


def computed(backbone: Backbone, paths: Sequence[Path], mirror: bool = False) -> torch.Tensor:
    pixels = TRANSFORM(paths)
    with torch.no_grad():
        return backbone(pixels.flip(-1) if mirror else pixels)


def assert_same(features: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for the rounding to fp16, and that of the network, alone or in another batch."""
    assert features.dtype == torch.float16
    stored = torch.finfo(torch.float16)
    computed = rounding(26 * 9 * 64)  # the convolutions of a SqueezeNet, and their inputs
    torch.testing.assert_close(
        features.float(), expected.float(),
        rtol=stored.eps / 2 + computed,
        atol=stored.smallest_normal * stored.eps / 2 + computed * expected.abs().max().item(),
    )  # fmt: skip


def done(cache: Path) -> int:
    """How many images the record of a cache says there are."""
    return json.loads((cache / "record.json").read_text())["done"]
