"""Training examples of the captioner: every caption of every image, in length-bucketed batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from common.data.batching import Batches, bucketed_batches
from common.models.encoder_decoder import Batch

Inputs: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""The encoder's arguments for some images: called with their rows (B,) and, where some are mirrored,
with a mask (B,) of those that are flipped left to right."""


class CaptionExamples:
    """Captions as word ids, each with the image that it describes.

    Args:
        sentences: word ids of every caption, without start and end token.
        images: (N,) for each caption the row of its image.
        inputs: gives the encoder's arguments.
        mirror: (N,) whether a caption stays true when its image is mirrored; such an image is
            mirrored with probability 1/2. None: never.
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[int]],
        images: Sequence[int],
        inputs: Inputs,
        mirror: Sequence[bool] | None = None,
    ) -> None:
        self.sentences = sentences
        self.images = np.asarray(images)
        self.inputs = inputs
        self.mirror = None if mirror is None else np.asarray(mirror)
        self.lengths = np.array([len(sentence) + 1 for sentence in sentences])

    def __len__(self) -> int:
        return len(self.sentences)

    def batches(
        self,
        epoch: int,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        together: bool = False,
        per_image: int | None = None,
    ) -> Batches[Batch]:
        """The batches of an epoch, a function of (seed, epoch), so that training can be resumed.

        Args:
            epoch: counted from 0.
            batch_size: captions in a batch.
            seed: of their order, and of what is mirrored.
            shuffle: False for evaluation.
            together: put all captions of an image into one batch, so that a network which is trained
                sees each image once an epoch; batches are then padded more.
            per_image: the most captions of an image in an epoch, sampled anew in every epoch; None:
                all.
        """
        every = np.arange(len(self))
        chosen = every if per_image is None else self._sampled(epoch, per_image, seed)
        if together:
            indices = self._batches_of_images(chosen, epoch, batch_size, seed, shuffle)
        else:
            batches = bucketed_batches(
                self.lengths[chosen], batch_size, seed=seed, epoch=epoch, shuffle=shuffle
            )
            indices = [chosen[batch] for batch in batches]
        mirrored = np.zeros(len(self), bool)
        if self.mirror is not None and shuffle:
            half = np.random.default_rng([seed, epoch, 1]).random(len(self)) < 0.5
            mirrored = half & self.mirror
        return Batches(indices, partial(self._collate, mirrored=mirrored))

    def _sampled(self, epoch: int, per_image: int, seed: int) -> np.ndarray:
        """Captions, at most `per_image` of each image, in order."""
        order = np.random.default_rng([seed, epoch, 2]).random(len(self))
        by_image = np.lexsort((order, self.images))
        _, starts, counts = np.unique(self.images[by_image], return_index=True, return_counts=True)
        rank = np.arange(len(self)) - np.repeat(starts, counts)  # of a caption among its image's
        return np.sort(by_image[rank < per_image])

    def _batches_of_images(
        self, chosen: np.ndarray, epoch: int, batch_size: int, seed: int, shuffle: bool
    ) -> list[np.ndarray]:
        """Batches of all chosen captions of some images, about `batch_size` captions in each."""
        by_image = chosen[np.argsort(self.images[chosen], kind="stable")]
        _, starts = np.unique(self.images[by_image], return_index=True)
        members = np.split(by_image, starts[1:])
        longest = [int(self.lengths[captions].max()) for captions in members]
        images = max(1, round(batch_size * len(members) / len(chosen)))
        batches = bucketed_batches(longest, images, seed=seed, epoch=epoch, shuffle=shuffle)
        return [np.concatenate([members[image] for image in batch]) for batch in batches]

    def _collate(self, rows: np.ndarray, mirrored: np.ndarray) -> Batch:
        # An image that occurs twice, mirrored or not, is read and encoded once.
        wanted, places = np.unique(2 * self.images[rows] + mirrored[rows], return_inverse=True)
        flip = wanted % 2 == 1
        inputs = self.inputs(wanted // 2, flip if flip.any() else None)
        sentences = [self.sentences[row] for row in rows]
        return Batch.collate(inputs, sentences, torch.from_numpy(places.reshape(-1)))
