"""What the tests of feature caches compare with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from captioning.backbone import Backbone
from captioning.features import FeatureCache
from captioning.transform import ImageTransform
from tests.tolerances import rounding

COUNT = 22
TRANSFORM = ImageTransform(size=64)
QUIET = {"batch_size": 4, "progress": False}


def computed(backbone: Backbone, paths: Sequence[Path], mirror: bool = False) -> torch.Tensor:
    with torch.no_grad():
        return backbone(TRANSFORM(paths, mirror))


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


def record(cache: FeatureCache) -> dict:
    return json.loads((cache.folder / "record.json").read_text())
