"""Fixtures of the captioner's tests."""

from __future__ import annotations

import pytest

from captioning.backbone import Backbone
from tests.captioning.networks import lively


@pytest.fixture(scope="module")
def resnet() -> Backbone:
    """Not to be changed by a test."""
    return lively(Backbone("resnet18"))
