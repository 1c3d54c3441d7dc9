"""What the captioner is trained on: every caption of every image, in length-bucketed batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from common.encoder_decoder import Batch
from common.training.batching import Batches, bucketed_batches


class Inputs(Protocol):
    """Gives the encoder's input of some images."""

    def __call__(self, rows: np.ndarray, mirrored: np.ndarray | None = None, /) -> Tensor:
        """rows: (B,) positions of images; mirrored: (B,) which of them to flip left to right."""
        ...


class CaptionExamples:
    """Captions as word ids, each with the image that it describes.

    Args:
        sentences: word ids of every caption, without start and end token.
        images: (N,) for each caption the row of its image.
        inputs: from rows of images, and whether each is mirrored, to the encoder's input.
        mirror: (N,) whether a caption stays true when its image is mirrored; such a pair is then
            mirrored in half of its appearances. None: never.
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
        self, epoch: int, *, batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> Batches[Batch]:
        """The batches of an epoch, a function of (seed, epoch): training can be resumed in any."""
        indices = bucketed_batches(
            self.lengths, batch_size, seed=seed, epoch=epoch, shuffle=shuffle
        )
        mirrored = None
        if self.mirror is not None and shuffle:
            coins = np.random.default_rng([seed, epoch, 1]).random(len(self)) < 0.5
            mirrored = coins & self.mirror
        return Batches(indices, lambda rows: self._collate(rows, mirrored))

    def _collate(self, rows: np.ndarray, mirrored: np.ndarray | None) -> Batch:
        inputs = self.inputs(self.images[rows], None if mirrored is None else mirrored[rows])
        return Batch.collate((inputs,), [self.sentences[row] for row in rows])
