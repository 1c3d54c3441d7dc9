"""The one transform from images of any size to the pixels that every encoder sees."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import NamedTuple, cast, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from captioning.images import ImageError, ImageSource, is_one, open_image
from captioning.options import MOST_PIXELS, Fit
from common.files import short_digest

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageTransform:
    """From an image of any size to the square input of an encoder.

    One transform serves training, evaluation and the user's own image; it has no randomness.

    Args:
        size: pixels per side of the result.
        fit: "squash" the whole frame into the square (all of the picture, distorted), "crop" the
            square in its centre (undistorted, the edges lost), or "pad" the shorter sides with the
            mean colour (undistorted, all of the picture).
        mean: of red, green and blue, in 0..1; subtracted.
        std: of red, green and blue, in 0..1; divided by.
    """

    size: int = 224
    fit: Fit = "squash"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or not 1 <= self.size <= MOST_PIXELS:
            raise ValueError(
                f"size must be a whole number of pixels, at most {MOST_PIXELS}, not {self.size}"
            )
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, not {self.fit!r}")
        possible = all(0 <= each <= 1 for each in self.mean) and all(0 < s <= 1 for s in self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not possible:
            raise ValueError("mean and std must be three numbers in 0..1 each, std above zero")

    def __call__(self, images: ImageSource | Iterable[ImageSource]) -> Tensor:
        """Open, fit and normalise images, at least one; or a single one.

        Returns:
            (B, 3, size, size) float32, normalised; (3, size, size) of a single image.

        Raises:
            ImageError: an image cannot be read.
        """
        if is_one(images):
            return self.normalize(self.pixels(images))
        several = cast(Iterable[ImageSource], images)
        return self.normalize(torch.stack([self.pixels(image) for image in several]))

    def pixels(self, source: ImageSource) -> Tensor:
        """Open and fit one image: (3, size, size) uint8, to be normalised later, in batches."""
        # A Pillow image's array is read-only, and torch wants memory that it may write to.
        values = np.array(self.fitted(source))
        return torch.from_numpy(values).permute(2, 0, 1).contiguous()

    def normalize(self, pixels: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 to float32 of the same shape, on whichever device the pixels are."""
        # Each channel by plain numbers: tensors of them would make the host wait for a GPU.
        channels = zip(pixels.unbind(-3), self.mean, self.std, strict=True)
        return torch.stack([(each.float() / 255 - mean) / std for each, mean, std in channels], -3)

    def fitted(self, source: ImageSource) -> Image.Image:
        """The image (size x size, RGB) as an encoder sees it; attention is drawn over it."""
        # Twice the final size, so that decoding a huge JPEG at a fraction costs no visible detail.
        image = open_image(source, size=2 * self.size)
        box, target = None, (self.size, self.size)
        if self.fit == "crop":
            side, (width, height) = min(image.size), image.size
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
        elif self.fit == "pad":
            scale = self.size / max(image.size)
            target = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        # Pillow filters before it shrinks (antialiasing); reducing_gap makes that fast on huge
        # images, at a gap (3) where the result is hardly distinguishable.
        inner = image.resize(target, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
        red, green, blue = (min(255, max(0, round(255 * value))) for value in self.mean)
        result = Image.new("RGB", (self.size, self.size), (red, green, blue))
        result.paste(inner, ((self.size - inner.width) // 2, (self.size - inner.height) // 2))
        return result

    @property
    def digest(self) -> str:
        """Sixteen characters that change with anything that changes the pixels."""
        method = "pillow bilinear 1"  # the method's name and version
        return short_digest([method, asdict(self)])


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
