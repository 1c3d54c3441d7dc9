"""Image files in batches, decoded on demand; a damaged file is reported and does no harm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from captioning.images import ImageError
from captioning.transform import ImageTransform


class ImageBatch(NamedTuple):
    """The images of a batch that could be read, and what was wrong with the others.

    Args:
        indices: (B,) positions in the list of paths.
        pixels: (B, 3, S, S) uint8.
        problems: for each damaged image its position and one line that names it and the reason.
    """

    indices: Tensor
    pixels: Tensor
    problems: list[tuple[int, str]]


class ImageFiles(Dataset):
    """Image files, decoded and fitted on demand; a damaged file is reported and does no harm.

    Args:
        paths: the files.
        transform: what fits them to the encoder.
        mirror: flip every image left to right.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        transform: ImageTransform,
        mirror: bool = False,
    ) -> None:
        self.paths = paths
        self.transform = transform
        self.mirror = mirror

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, Tensor | None, str | None]:
        """The index, the pixels (3, S, S) uint8 or None, and what was wrong or None."""
        try:
            return index, self.transform.pixels(self.paths[index], self.mirror), None
        except ImageError as error:
            return index, None, str(error)

    def collate(self, items: list[tuple[int, Tensor | None, str | None]]) -> ImageBatch:
        """Items of `__getitem__` as a batch; the damaged ones only as problems."""
        size = self.transform.size
        kept = [(index, pixels) for index, pixels, _ in items if pixels is not None]
        return ImageBatch(
            indices=torch.tensor([index for index, _ in kept], dtype=torch.long),
            pixels=torch.stack([pixels for _, pixels in kept])
            if kept
            else torch.empty((0, 3, size, size), dtype=torch.uint8),
            problems=[(index, problem) for index, _, problem in items if problem is not None],
        )


def image_batches(
    paths: Sequence[str | os.PathLike[str]],
    transform: ImageTransform,
    batch_size: int = 32,
    workers: int = 0,
    mirror: bool = False,
    pin_memory: bool = False,
) -> DataLoader[ImageBatch]:
    """Image files in order, decoded in worker processes, as an iterable of `ImageBatch`.

    Args:
        paths: the files.
        transform: what fits them to the encoder.
        batch_size: images per batch; a damaged image leaves its place empty.
        workers: processes that decode; 0 decodes in this one.
        mirror: flip every image left to right.
        pin_memory: for a quicker copy to a GPU.
    """
    files = ImageFiles(paths, transform, mirror)
    return DataLoader(
        files,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=files.collate,
        pin_memory=pin_memory,
        # A generator of its own: the loader must not advance the one that training resumes from.
        generator=torch.Generator(),
    )
