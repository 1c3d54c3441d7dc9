"""Batches of image files: in order, without the damaged ones, which are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from captioning.image_batches import ImageFiles, image_batches
from captioning.transform import ImageTransform
from tests.captioning.pictures import saved, scene


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_files_are_reported_and_the_others_go_on(tmp_path: Path, workers: int) -> None:
    paths = [saved(tmp_path / f"{n}.png", Image.new("RGB", (4, 4), (n, 0, 0))) for n in range(7)]
    for n in (2, 4, 5):
        paths[n].write_bytes(b"damaged")
    transform = ImageTransform(size=4)
    indices, problems = [], []
    state = torch.get_rng_state()
    for batch in image_batches(paths, transform, batch_size=2, workers=workers):
        assert batch.pixels.dtype == torch.uint8
        assert batch.pixels.shape == (len(batch.indices), 3, 4, 4)
        assert batch.pixels[:, 0, 0, 0].tolist() == batch.indices.tolist()
        indices += batch.indices.tolist()
        problems += batch.problems
    assert indices == [0, 1, 3, 6]
    assert [index for index, _ in problems] == [2, 4, 5]
    assert all(str(paths[index]) in problem for index, problem in problems)
    assert torch.equal(torch.get_rng_state(), state)  # or an exact resume would not be exact


def test_a_batch_of_damaged_files_alone(tmp_path: Path) -> None:
    files = ImageFiles([tmp_path / "a.jpg", tmp_path / "b.jpg"], ImageTransform(size=4))
    batch = files.collate([files[0], files[1]])
    assert batch.pixels.shape == (0, 3, 4, 4)
    assert batch.indices.tolist() == []
    assert len(batch.problems) == len(files) == 2


def test_mirrored_batches(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", scene())
    plain, mirrored = (
        next(iter(image_batches([path], ImageTransform(size=8), mirror=mirror))).pixels
        for mirror in (False, True)
    )
    assert torch.equal(mirrored, plain.flip(-1))
