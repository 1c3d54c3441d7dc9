"""Padding of training batches: padded positions over real tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from captioning.data import load
from common.data.batching import bucketed_batches, padding_ratio
from common.text.tokenizer import WordTokenizer


@dataclass(frozen=True)
class Waste:
    """Padded positions over real tokens of one epoch."""

    title: str
    bucketed: float
    shuffled: float
    bar: str = "at most 1.05 bucketed"

    def line(self) -> str:
        return (
            f"{self.title}   (bar: {self.bar})\n"
            f"  bucketed {self.bucketed:.3f}, in random order {self.shuffled:.3f}"
        )


def caption_padding(folder: Path | None = None, batch_size: int = 64) -> Waste:
    """The padding of the training captions in a folder, or of random lengths like theirs."""
    if folder is None:
        lengths = np.random.default_rng(0).gamma(13, 0.85, 30_000).round().clip(2, 38).astype(int)
        title = "30,000 captions of random lengths"
    else:
        tokenizer = WordTokenizer()
        images = load(folder).split("train")
        words = [tokenizer.encode(caption) for image in images for caption in image.captions]
        lengths = np.array([len(sentence) + 1 for sentence in words])
        title = f"{len(lengths):,} training captions of {folder.name}"
    shuffled = np.random.default_rng(0).permutation(len(lengths))
    cuts = np.array_split(shuffled, -(-len(lengths) // batch_size))
    return Waste(
        f"{title}, batches of {batch_size}",
        padding_ratio(lengths, bucketed_batches(lengths, batch_size)),
        padding_ratio(lengths, cuts),
    )
