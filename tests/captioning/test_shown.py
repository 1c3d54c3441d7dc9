"""What is shown of captions: whether they are true where that is known, and the reference."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from captioning.captioner import Captioner
from captioning.data import CaptionedImage
from captioning.evaluation import captioned, overlaid, show_captions
from captioning.transform import ImageTransform
from common.evaluation.sheet import GREEN, RED
from common.models.sentence import Sentence
from common.synthetic.scenes import Scene, generate
from common.training.tracking import Tracker

CAPTIONER = cast(Captioner, SimpleNamespace(transform=ImageTransform(64)))


class Shown:
    """A tracker that keeps what it is handed."""

    def __init__(self) -> None:
        self.pictures: list[Image.Image] = []

    def images(self, name: str, image: Image.Image) -> None:
        self.pictures.append(image)

    def table(self, *_: Any) -> None: ...


@pytest.fixture
def scene(tmp_path: Path) -> CaptionedImage:
    drawn = generate(0, 2)
    drawn.draw(64).save(tmp_path / "a.png")
    return CaptionedImage("a", tmp_path / "a.png", drawn.captions(), drawn.to_dict())


def sentence(text: str) -> Sentence:
    words = text.split()
    return Sentence(text, words, 0.0, 0.0, torch.full((len(words), 16), 1 / 16))


def has(picture: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.asarray(picture) == colour).all(axis=2).any())


def test_a_caption_of_a_generated_scene_is_true_or_not(scene):
    (first, *_, last) = scene.captions
    false = "there is a thing"
    cells = captioned(CAPTIONER, [scene] * 3, [sentence(each) for each in (first, last, false)])
    assert [cell.true for cell in cells] == [True, True, False]
    assert [cell.caption for cell in cells] == [first, last, false]
    assert {cell.reference for cell in cells} == {first}
    assert Scene.from_dict(scene.facts).is_true(cells[0].reference)


@pytest.mark.parametrize("facts", [None, {"image_id": 7}])
def test_of_other_pictures_nothing_is_known_but_the_reference(scene, facts):
    photograph = CaptionedImage("b", scene.path, ["a dog runs"], facts)
    (cell,) = captioned(CAPTIONER, [photograph], [sentence("a cat")])
    assert (cell.true, cell.reference) == (None, "a dog runs")


def test_a_picture_that_cannot_be_read_is_shown_grey(scene):
    """Features stand for it: it is captioned all the same."""
    scene.path.write_bytes(b"damaged")
    (cell,) = captioned(CAPTIONER, [scene], [sentence("a red star")])
    assert cell.picture.size == (64, 64) and len(cell.picture.getcolors()) == 1


@pytest.mark.parametrize(("right", "colour"), [(True, GREEN), (False, RED), (None, None)])
def test_tensorboard_shows_the_frames_in_the_sheet_and_in_the_attention(scene, right, colour):
    text = "a thing" if right is False else scene.captions[1]
    facts = None if right is None else scene.facts
    image, tracker = CaptionedImage("a", scene.path, scene.captions, facts), Shown()
    show_captions(cast(Tracker, tracker), CAPTIONER, [image], {"a": [sentence(text)]})
    assert len(tracker.pictures) == 2
    for picture in tracker.pictures:
        assert [has(picture, each) for each in (GREEN, RED)] == [colour == GREEN, colour == RED]


def test_the_caption_and_the_reference_stand_above_the_attention():
    picture, caption = Image.new("RGB", (64, 64), (60, 60, 60)), sentence("a red star")
    heights = [
        overlaid(picture, caption, reference=reference, true=true).height
        for reference, true in (("", None), ("a blue box", None), ("a blue box", True))
    ]
    assert heights[1] > heights[0]
    framed = overlaid(picture, caption, true=True)
    assert heights[2] == framed.height  # of a true caption, no reference
    wide = overlaid(picture, sentence("word " * 40))
    assert wide.height > heights[0] and max(wide.size) < 2000
