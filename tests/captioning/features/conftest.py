"""A small network and a few pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from captioning.backbone import Backbone
from tests.captioning.features.caches import COUNT


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose features of different pictures differ."""
    torch.manual_seed(3)
    backbone = Backbone("squeezenet1_1")
    for name, parameter in backbone.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(backbone.network.state_dict(), path)
    return path


@pytest.fixture
def backbone(weights: Path) -> Backbone:
    return Backbone("squeezenet1_1", weights=weights)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures of different sizes."""
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(COUNT):
        pixels = generator.integers(0, 256, (3, 3 + index % 4, 3), np.uint8)
        size = (60 + 7 * (index % 3), 70)
        Image.fromarray(pixels).resize(size).save(folder / f"{index:02}.jpg", quality=95)
    return sorted(folder.glob("*.jpg"))
