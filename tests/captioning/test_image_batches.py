"""Batches of images: in order, without the damaged ones, which are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from captioning.image_batches import image_batches
from captioning.transform import ImageTransform
from tests.captioning.pictures import saved


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
