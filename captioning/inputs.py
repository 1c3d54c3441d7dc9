"""The encoder's arguments for the images of a data set: decoded pixels, or features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioning.backbone import Backbone
from captioning.data import CaptionData, CaptionedImage
from captioning.encoder import ImageEncoder
from captioning.examples import Inputs
from captioning.features import FeatureFolder, cached_features
from captioning.options import EncoderOptions
from captioning.transform import ImageTransform, image_batches
from common.data.damage import Tally
from common.errors import UserError, printable
from common.files import user_cache
from common.progress import Bar, warn


def pixel_inputs(
    pixels: Tensor, rows: np.ndarray, mirrored: np.ndarray | None = None
) -> tuple[Tensor]:
    """Decoded images as the encoder's arguments.

    Args:
        pixels: (N, 3, S, S) uint8.
        rows: (B,) of the images there.
        mirrored: (B,) those to flip left to right; None: none.
    """
    chosen = pixels[torch.from_numpy(np.asarray(rows))]
    if mirrored is None:
        return (chosen,)
    return (torch.where(torch.from_numpy(mirrored).view(-1, 1, 1, 1), chosen.flip(3), chosen),)


def feature_inputs(
    folder: FeatureFolder, kept: np.ndarray, rows: np.ndarray, mirrored: np.ndarray | None = None
) -> tuple[Tensor, ...]:
    """As `FeatureFolder.read`, of images whose rows in the folder are `kept[rows]`."""
    return folder.read(kept[rows], mirrored)


def open_features(
    options: EncoderOptions, data: CaptionData, resumed: EncoderOptions | None = None
) -> tuple[EncoderOptions, FeatureFolder | None]:
    """The options with the size of a feature, and the folder of features that they name.

    Args:
        options: of the encoder.
        data: the images.
        resumed: the options of the run that is resumed or used; None: a new run.

    Returns:
        None for the folder where the options name none.

    Raises:
        UserError: the folder cannot be used, two images of the data would share features, or the
            run was trained on features of another size.
    """
    folder, size = None, None
    if options.features is not None:
        folder = FeatureFolder(options.features)
        size = folder.feature_size
        found: dict[int, str] = {}
        for image in chain.from_iterable(data.splits.values()):
            row = folder.locate(image.id)
            if row is not None and found.setdefault(row, image.id) != image.id:
                raise UserError(  # the images train/1.jpg and val/1.jpg would both find 1.npy
                    f"{folder.path} has one {folder.names[row]} for two images, {found[row]} and "
                    f"{image.id}. Name the features as the data set names the images."
                )
    if resumed is not None and resumed.feature_size != size:
        raise UserError(
            f"the run was trained on {resumed.feature_size or 'no'} features of a folder, and here "
            f"are {size or 'none'}: name the folder that it was trained on, --features DIR."
        )
    return replace(options, feature_size=size), folder


def check_features(folder: FeatureFolder, encoders: Sequence[ImageEncoder]) -> None:
    """Refuse features that some encoder cannot take.

    Raises:
        UserError: they are of another size, or vectors where attention reads regions.
    """
    for encoder in encoders:
        if encoder.feature_size != folder.feature_size:
            raise UserError(
                f"{folder.path} has features of size {folder.feature_size}, and the captioner takes "
                f"{encoder.feature_size}. Name the folder of those that it was trained on."
            )
        if encoder.attention and not folder.regions:
            raise UserError(
                f"{folder.path} has one vector for each image, and attention reads regions. Train "
                "without it (--attention none), or give features of regions."
            )


def make_inputs(
    encoders: Sequence[ImageEncoder],
    transform: ImageTransform,
    images: Sequence[CaptionedImage],
    *,
    cache_dir: Path | None = None,
    features: FeatureFolder | None = None,
    mirror: bool = False,
    pictures: Tally | None = None,
    max_damaged: float = 0.01,
) -> tuple[Inputs, list[CaptionedImage]]:
    """The encoder's arguments for images: given features; cached ones if its network is frozen; else
    pixels, decoded once and held in memory.

    Args:
        encoders: one with its network, or those of an ensemble, which take the same inputs:
            features if all have the same frozen network.
        transform: fits images to them.
        images: of a data set.
        cache_dir: of feature caches; the user's by default.
        features: computed before, by any network.
        mirror: whether mirrored images will be needed.
        pictures: of the whole data set, with those that were damaged before; these images alone by
            default. It gets those that are damaged here.
        max_damaged: largest fraction of damaged images among them, which are listed and left out.

    Returns:
        The inputs, which other processes can be sent, and the images that could be read, in the same
        order.

    Raises:
        UserError: more are damaged, or all of these images, or the encoders cannot take these
            features.
    """
    network = encoders[0].cnn
    inputs: Inputs
    if features is not None:
        check_features(features, encoders)
        if mirror and not features.mirrored:
            raise UserError(f"--mirror: {features.path} has no features of mirrored images.")
        kept, rows, problems = features.find(image.id for image in images)
        inputs = partial(feature_inputs, features, rows)
    elif isinstance(network, Backbone) and all(
        isinstance(e.cnn, Backbone) and e.cnn.frozen and e.cnn.digest == network.digest
        for e in encoders
    ):
        cache, damaged = cached_features(
            cache_dir or user_cache("features"), [image.path for image in images], network, transform,
            names=[image.id for image in images],
            grid=any(encoder.attention for encoder in encoders), mirror=mirror,
        )  # fmt: skip
        kept = [row for row in range(len(images)) if row not in damaged]
        inputs, problems = partial(feature_inputs, cache, np.array(kept)), list(damaged.items())
    else:
        pixels, kept, problems = decode(images, transform)
        inputs = partial(pixel_inputs, pixels)
    lines = [problem for _, problem in problems]
    pictures = Tally(len(images)) if pictures is None else pictures
    pictures.problems += lines
    if lines and not kept:
        raise UserError(f"none of {len(lines):,} pictures can be read. The first: {lines[0]}.")
    pictures.check(max_damaged, "the data", "pictures")
    for line in lines[:10]:
        warn(printable(f"left out: {line}"))
    if len(lines) > 10:
        warn(f"... and {len(lines) - 10:,} more damaged images")
    return inputs, [images[row] for row in kept]


def decode(
    images: Sequence[CaptionedImage], transform: ImageTransform
) -> tuple[Tensor, list[int], list[tuple[int, str]]]:
    """Decode all images.

    Returns:
        The pixels (N, 3, S, S) uint8 of those that can be read, their positions, and for each of the
        others its position and one line with the reason.
    """
    # Allocated once: joining a list of batches would need twice the memory.
    pixels = torch.empty(len(images), 3, transform.size, transform.size, dtype=torch.uint8)
    kept: list[int] = []
    problems: list[tuple[int, str]] = []
    with Bar("reading images", len(images), "images") as bar:
        for batch in image_batches([image.path for image in images], transform, 64):
            pixels[len(kept) : len(kept) + len(batch.indices)] = batch.pixels
            kept += batch.indices
            problems += batch.problems
            bar.advance(len(batch.indices) + len(batch.problems))
    return pixels[: len(kept)], kept, problems
