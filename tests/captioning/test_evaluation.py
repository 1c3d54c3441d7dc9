"""Evaluation: what is measured of which images."""

from __future__ import annotations

from pathlib import Path

import pytest

from captioning.data import CaptionedImage
from captioning.score import generated_scenes
from common.errors import UserError
from common.synthetic.scenes import generate


def image(name: str, facts: dict | None) -> CaptionedImage:
    return CaptionedImage(name, Path(name), ["a red star"], facts)


def test_only_generated_pictures_have_scenes():
    """Images of COCO have other facts: their official ids."""
    drawn = generate(0, 0)
    images = [image("a", drawn.to_dict()), image("b", {"image_id": 7}), image("c", None)]
    assert generated_scenes(images) == {"a": drawn}
    assert generated_scenes(images[1:]) == {}


def test_a_damaged_scene_is_named():
    with pytest.raises(UserError, match=r"folder/1\.png: its scene is damaged \(no 'seed'"):
        facts = generate(0, 0).to_dict()
        del facts["seed"]
        generated_scenes([image("folder/1.png", facts)])
