"""The batches that a translator learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from common.data.corpus import Corpus, write_corpus
from seq2seq.examples import TranslationExamples


def sentences(seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(4, 50, length).tolist() for length in generator.integers(0, 9, 40)]


def on_disk(path: Path, text: list[list[int]]) -> Corpus:
    write_corpus(path, text, 50)
    return Corpus(path)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_corpus_on_disk_gives_the_batches_of_lists(tmp_path, shuffle):
    sources, targets = sentences(1), sentences(2)
    options = {"usable": np.arange(3, 40)}
    lists = TranslationExamples(sources, targets, **options)
    disk = TranslationExamples(
        on_disk(tmp_path / "source", sources), on_disk(tmp_path / "target", targets), **options
    )
    for epoch in range(2):
        ours, expected = (
            list(each.batches(epoch, batch_size=7, shuffle=shuffle)) for each in (disk, lists)
        )
        assert sum(map(len, ours)) == 37
        for one, other in zip(ours, expected, strict=True):
            for ids, same in zip(
                (*one.inputs, one.targets, one.positions),
                (*other.inputs, other.targets, other.positions),
                strict=True,
            ):
                assert ids.dtype == same.dtype == torch.long and torch.equal(ids, same)
