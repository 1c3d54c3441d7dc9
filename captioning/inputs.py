"""The encoder's input for any image of a data set: pixels to learn from, or features once computed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from captioning.backbone import Backbone
from captioning.data import CaptionedImage
from captioning.encoder import ImageEncoder
from captioning.examples import Inputs
from captioning.features import FeatureCache
from captioning.image_batches import image_batches
from captioning.transform import ImageTransform
from common.compute.device import to_host
from common.data.damage import check_problems


class Pixels:
    """Decoded images in memory, for a network that is learnt: files are read once, not every epoch.

    Args:
        pixels: (N, 3, S, S) uint8.
    """

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __call__(self, rows: np.ndarray, mirrored: np.ndarray | None = None) -> Tensor:
        """Images (B, 3, S, S) uint8 of some rows (B,), flipped left to right where asked for."""
        chosen = self.pixels[torch.from_numpy(np.asarray(rows))]
        if mirrored is None:
            return chosen
        return torch.where(torch.from_numpy(mirrored).view(-1, 1, 1, 1), chosen.flip(3), chosen)


class Features:
    """Features of a cache, for a network that is frozen.

    Args:
        cache: the rows that are asked for count its images without the damaged ones.
    """

    def __init__(self, cache: FeatureCache) -> None:
        self.cache = cache
        self.kept = np.flatnonzero(cache.valid)

    def __call__(self, rows: np.ndarray, mirrored: np.ndarray | None = None) -> Tensor:
        """Features (B, S, C) or (B, C) of some rows (B,), flipped left to right where asked for."""
        return self.cache.read(self.kept[rows], mirrored)


def read_pixels(
    images: Sequence[CaptionedImage], transform: ImageTransform, max_damaged: float
) -> tuple[Pixels, list[CaptionedImage]]:
    """Decode all images.

    Args:
        images: of a data set.
        transform: fits them to the encoder.
        max_damaged: share of damaged images that are listed and left out.

    Returns:
        The pixels, and the images that could be read, in the same order.

    Raises:
        UserError: more are damaged.
    """
    workers = min(2, os.cpu_count() or 1) if len(images) > 2000 else 0
    batches = image_batches([image.path for image in images], transform, 64, workers)
    # One allocation for all: a list of batches would need the memory twice when it is joined.
    pixels = torch.empty(len(images), 3, transform.size, transform.size, dtype=torch.uint8)
    kept: list[int] = []
    problems: list[str] = []
    with tqdm(
        total=len(images), desc="reading images", unit=" images", leave=False, disable=None
    ) as bar:
        for batch in batches:
            pixels[len(kept) : len(kept) + len(batch.indices)] = batch.pixels
            kept += batch.indices.tolist()
            problems += [problem for _, problem in batch.problems]
            bar.update(len(batch.indices) + len(batch.problems))
    report_damage(problems, len(kept), max_damaged)
    return Pixels(pixels[: len(kept)]), [images[row] for row in kept]


def report_damage(problems: Sequence[str], usable: int, max_damaged: float) -> None:
    """Say which images are left out, or raise UserError if they are too many."""
    check_problems(problems, usable, max_damaged, "the images")
    for problem in problems[:10]:
        print(f"left out: {problem}", file=sys.stderr)
    if len(problems) > 10:
        print(f"... and {len(problems) - 10:,} more damaged images", file=sys.stderr)


def make_inputs(
    encoders: Sequence[ImageEncoder],
    transform: ImageTransform,
    images: Sequence[CaptionedImage],
    *,
    folder: Path,
    mirror: bool = False,
    max_damaged: float = 0.01,
) -> tuple[Inputs, list[CaptionedImage]]:
    """What the encoder needs of the images: cached features if its network is frozen, else pixels.

    Args:
        encoders: one with its network, or those of an ensemble, which take the same inputs:
            features if all have the same frozen network.
        transform: fits images to them.
        images: of a data set.
        folder: of feature caches.
        mirror: whether mirrored images will be asked for.
        max_damaged: share of damaged images that are listed and left out; more is a UserError.

    Returns:
        The inputs, and the images that could be read, in the same order.
    """
    network = encoders[0].cnn
    if not isinstance(network, Backbone) or not all(_same(network, e.cnn) for e in encoders):
        return read_pixels(images, transform, max_damaged)
    cache = FeatureCache.build(
        folder,
        [image.path for image in images],
        network,
        transform,
        grid=any(encoder.attention for encoder in encoders),
        mirror=mirror,
        # What a caption is asked for later is computed in full precision: so are these.
        precision="fp32",
        device=next(network.parameters()).device,
        max_damaged=max_damaged,
    )
    report_damage(cache.problems, int(cache.valid.sum()), max_damaged)
    features = Features(cache)
    return features, [images[row] for row in features.kept.tolist()]


def _same(network: Backbone, other: nn.Module | None) -> bool:
    """Whether another network is this one, frozen, with the same weights."""
    if not network.frozen or not isinstance(other, Backbone) or not other.frozen:
        return False
    ours, theirs = to_host((network.state_dict(), other.state_dict()))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
