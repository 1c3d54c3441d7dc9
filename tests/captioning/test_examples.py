"""Batches of captions: which of an image's captions an epoch takes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from captioning.examples import CaptionExamples


def examples() -> CaptionExamples:
    """Ten images with five captions each, but the last with one; a caption's words name it."""
    images = [row for row in range(10) for _ in range(5)][:46]
    sentences = [[10 + number] * (1 + number % 3) for number in range(46)]
    return CaptionExamples(sentences, images, lambda rows, mirrored=None: (torch.from_numpy(rows),))


def taken(data: CaptionExamples, epoch: int, **options) -> list[int]:
    """The captions of an epoch, checked to be with their images."""
    captions = []
    for batch in data.batches(epoch, batch_size=8, **options):
        assert batch.rows is not None
        for row, words in zip(batch.rows.tolist(), batch.targets.tolist(), strict=True):
            captions.append(words[1] - 10)
            assert int(batch.inputs[0][row]) == data.images[words[1] - 10]
    return captions


@pytest.mark.parametrize("together", [False, True])
def test_an_epoch_takes_so_many_captions_of_each_image(together) -> None:
    data = examples()
    assert sorted(taken(data, 0, together=together)) == list(range(46))
    first, again, second = (
        taken(data, epoch, together=together, per_image=2) for epoch in (0, 0, 1)
    )
    assert first == again and set(first) != set(second)
    assert len(first) == len(set(first))
    assert Counter(data.images[first]) == {row: 1 if row == 9 else 2 for row in range(10)}
    epochs = [taken(data, epoch, together=together, per_image=2) for epoch in range(20)]
    assert len(set(np.concatenate(epochs).tolist())) == 46  # in time, every caption


def test_captions_of_an_image_come_in_one_batch() -> None:
    for batch in examples().batches(0, batch_size=8, together=True, per_image=2):
        assert batch.rows is not None
        assert len(batch) <= 10 and len(batch) >= 2 * len(batch.inputs[0]) - 1
