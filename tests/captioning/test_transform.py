"""The one transform that all images go through: fitted, normalised, and known by its digest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioning.images import open_image
from captioning.transform import ImageTransform, image_batches
from tests.captioning.pictures import BLUE, LIME, RED, WHITE, corners, saved, scene


def test_squash_crop_and_pad() -> None:
    image = scene()  # 60 x 40
    image.paste("black", (0, 0, 5, 40))
    squashed = ImageTransform(size=20, fit="squash").fitted(image)
    assert squashed.getpixel((0, 10)) != RED and corners(squashed) == [RED, LIME, BLUE, WHITE]
    cropped = ImageTransform(size=20, fit="crop").fitted(image)
    assert corners(cropped) == [RED, LIME, BLUE, WHITE]
    assert cropped.getpixel((0, 0)) == RED  # the black edge is cut off
    padded = ImageTransform(size=30, fit="pad", mean=(0.5, 0.0, 1.0)).fitted(image)
    assert padded.getpixel((15, 0)) == padded.getpixel((15, 29)) == (128, 0, 255)
    assert padded.getpixel((15, 5)) != (128, 0, 255) != padded.getpixel((15, 24))
    assert padded.getpixel((0, 15)) == (0, 0, 0)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (7, 3), (224, 224)])
def test_every_shape_fits(fit, size: tuple[int, int]) -> None:
    transform = ImageTransform(size=16, fit=fit)
    assert transform.pixels(Image.new("RGB", size, "white")).shape == (3, 16, 16)


def test_an_image_of_the_right_size_is_untouched() -> None:
    noise = Image.merge("RGB", [Image.effect_noise((32, 32), 90) for _ in range(3)])
    for fit in ("squash", "crop", "pad"):
        pixels = ImageTransform(size=32, fit=fit).pixels(noise)  # type: ignore[arg-type]
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(noise))


def test_normalisation_by_hand() -> None:
    transform = ImageTransform(size=2, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    batch = transform([Image.new("RGB", (2, 2), (255, 0, 51))])
    assert batch.dtype == torch.float32
    assert batch[0, :, 0, 0].tolist() == pytest.approx([1.0, -1.0, -3.2])


def test_several_alone_or_in_a_batch(tmp_path: Path) -> None:
    transform = ImageTransform(size=8)
    paths = [saved(tmp_path / f"{n}.png", scene(20 + n, 30)) for n in range(3)]
    batch = transform(paths)
    assert batch.shape == (3, 3, 8, 8)
    for row, path in zip(batch, paths, strict=True):
        assert torch.equal(transform([path])[0], row)
        assert torch.equal(transform([open_image(path)])[0], row)
        assert torch.equal(transform.normalize(transform.pixels(path)), row)


def test_the_digest_changes_with_everything_that_changes_the_pixels() -> None:
    others = [
        ImageTransform(),
        ImageTransform(size=225),
        ImageTransform(fit="crop"),
        ImageTransform(mean=(0.0, 0.0, 0.0)),
        ImageTransform(std=(1.0, 1.0, 1.0)),
    ]
    assert len({transform.digest for transform in others}) == len(others)
    # Fixed once: a change makes every feature cache on every disk useless.
    assert ImageTransform().digest == "e7371337ab87ed04"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "whole number of pixels"),
        ({"size": 8.5}, "whole number of pixels"),
        ({"size": 10**9}, "at most 4096"),
        ({"mean": (0.5, float("nan"), 0.5)}, "three numbers"),
        ({"fit": "stretch"}, "squash, crop, pad"),
        ({"mean": (0.5,)}, "three numbers"),
        ({"std": (0.0, 1.0, 1.0)}, "std above zero"),
    ],
)
def test_an_impossible_transform_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageTransform(**change)


def test_photographs_of_flickr8k(shared: Path) -> None:
    path = min((shared / "flickr8k" / "images").iterdir())
    transform = ImageTransform()
    with Image.open(path) as image:
        assert np.array_equal(transform.pixels(path).permute(1, 2, 0).numpy(), np.asarray(image))


@pytest.mark.parametrize("start", [0, 2])
def test_damaged_files_are_reported_and_the_others_go_on(tmp_path: Path, start: int) -> None:
    paths = [saved(tmp_path / f"{n}.png", Image.new("RGB", (4, 4), (n, 0, 0))) for n in range(7)]
    for n in (2, 4, 5):
        paths[n].write_bytes(b"damaged")
    transform = ImageTransform(size=4)
    indices, problems = [], []
    state = torch.get_rng_state()
    for batch in image_batches(paths, transform, batch_size=2, start=start):
        assert batch.pixels.dtype == torch.uint8
        assert batch.pixels.shape == (len(batch.indices), 3, 4, 4)
        assert batch.pixels[:, 0, 0, 0].tolist() == batch.indices
        assert len(batch.indices) + len(batch.problems) == min(
            2, 7 - start - len(indices + problems)
        )
        indices += batch.indices
        problems += batch.problems
    assert indices == [n for n in (0, 1, 3, 6) if n >= start]
    assert [index for index, _ in problems] == [2, 4, 5]
    assert all(str(paths[index]) in problem for index, problem in problems)
    assert torch.equal(torch.get_rng_state(), state)  # or an exact resume would not be exact


def test_pictures_in_memory_and_no_picture_at_all(tmp_path: Path) -> None:
    (batch,) = image_batches([Image.new("RGB", (9, 5), "red")], ImageTransform(size=4))
    assert batch.indices == [0] and batch.pixels[0, :, 0, 0].tolist() == [255, 0, 0]
    assert list(image_batches([], ImageTransform(size=4))) == []
