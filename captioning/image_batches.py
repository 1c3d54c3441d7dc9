"""Images in batches, decoded ahead in threads; a damaged one is reported and does no harm."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from captioning.images import ImageError, ImageSource
from captioning.transform import ImageTransform


class ImageBatch(NamedTuple):
    """The images of a batch that could be read, and what was wrong with the others.

    Args:
        indices: (B,) their positions in the list of images.
        pixels: (B, 3, S, S) uint8.
        problems: for each damaged image its position and one line that names it and the reason.
    """

    indices: list[int]
    pixels: Tensor
    problems: list[tuple[int, str]]


def image_batches(
    images: Sequence[ImageSource], transform: ImageTransform, batch_size: int = 32, start: int = 0
) -> Generator[ImageBatch, None, None]:
    """Images in order, decoded and fitted, as many threads as there are cores (at most 16).

    Pillow lets go of the interpreter while it decodes and resizes: threads do what processes would,
    without the shared memory of which containers have so little.

    Args:
        images: files, or Pillow images.
        transform: what fits them to the encoder.
        batch_size: images in a batch, damaged ones included.
        start: the first image that is wanted.
    """

    def read(index: int) -> Tensor | str:
        try:
            return transform.pixels(images[index])
        except ImageError as error:
            return str(error)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    waiting: deque[Future[Tensor | str]] = deque()
    pool = ThreadPoolExecutor(min(16, cores or 1), "decode")
    try:
        for first in range(start, len(images), batch_size):
            # Two batches ahead keep the threads busy while a network computes.
            ahead = range(first + len(waiting), min(first + 3 * batch_size, len(images)))
            waiting.extend(pool.submit(read, index) for index in ahead)
            places = range(first, min(first + batch_size, len(images)))
            items = [(index, waiting.popleft().result()) for index in places]
            empty = torch.empty((0, 3, transform.size, transform.size), dtype=torch.uint8)
            pixels = [each for _, each in items if isinstance(each, Tensor)]
            yield ImageBatch(
                [index for index, each in items if isinstance(each, Tensor)],
                torch.stack(pixels) if pixels else empty,
                [(index, each) for index, each in items if isinstance(each, str)],
            )
    finally:
        pool.shutdown(cancel_futures=True)
