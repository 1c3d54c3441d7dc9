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
    """The images of a batch that could be read, and the problems of the others.

    Args:
        indices: (B,) their positions in the list of images.
        pixels: (B, 3, S, S) uint8.
        problems: position of each damaged image, and one line with its name and the reason.
    """

    indices: list[int]
    pixels: Tensor
    problems: list[tuple[int, str]]


def image_batches(
    images: Sequence[ImageSource], transform: ImageTransform, batch_size: int = 32, start: int = 0
) -> Generator[ImageBatch, None, None]:
    """Images in order, decoded and fitted in as many threads as there are cores (at most 16).

    Pillow releases the interpreter lock while it decodes and resizes: threads are as fast as
    processes, and need no shared memory, of which containers have little.

    Args:
        images: files, or Pillow images.
        transform: fits them to the encoder.
        batch_size: images in a batch, damaged ones included.
        start: position of the first image.
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
            pixels: dict[int, Tensor] = {}
            problems: list[tuple[int, str]] = []
            for index in range(first, min(first + batch_size, len(images))):
                item = waiting.popleft().result()
                if isinstance(item, Tensor):
                    pixels[index] = item
                else:
                    problems.append((index, item))
            empty = torch.empty((0, 3, transform.size, transform.size), dtype=torch.uint8)
            stack = torch.stack([*pixels.values()]) if pixels else empty
            yield ImageBatch([*pixels], stack, problems)
    finally:
        pool.shutdown(cancel_futures=True)
