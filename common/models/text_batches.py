"""What a language model learns from: parts of texts, and the tokens that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from common.data.batching import Batches, bucketed_batches, pad_sequences
from common.data.texts import streams
from common.text.vocabulary import BOS, PAD


@dataclass(frozen=True)
class TextBatch:
    """Parts of texts, and the token that follows each token.

    Args:
        tokens: (B, T) what is read.
        targets: (B, T) what follows; `PAD` where nothing is to be predicted.
        continues: whether the rows go on where those of the batch before ended; while training, they
            then begin in its last state.
    """

    tokens: Tensor
    targets: Tensor
    continues: bool = False

    def __len__(self) -> int:
        return len(self.tokens)


def whole_texts(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Tokens and targets (N, T) of texts that end with their end token; each is read from the start
    token on."""
    tokens = pad_sequences([[BOS, *text[:-1]] for text in texts], PAD)
    return tokens, pad_sequences(texts, PAD)


def stream_batches(
    ids: Sequence[int], rows: int, steps: int, seed: int = 0, epoch: int = 0
) -> list[TextBatch]:
    """One pass over a text from a place that (seed, epoch) gives; see `streams`."""
    start = int(np.random.default_rng([seed, epoch]).integers(len(ids)))
    return [TextBatch(*each) for each in streams(ids, rows, steps, start)]


def text_batches(
    tokens: Tensor, targets: Tensor, batch_size: int, seed: int = 0, epoch: int = 0
) -> Batches[TextBatch]:
    """Texts (N, T) in batches of similar length, in an order that (seed, epoch) gives."""
    lengths = (targets != PAD).sum(1).numpy()
    indices = bucketed_batches(lengths, batch_size, seed=seed, epoch=epoch)

    def collate(rows: np.ndarray) -> TextBatch:
        longest = int(lengths[rows].max())
        return TextBatch(tokens[rows, :longest], targets[rows, :longest])

    return Batches(indices, collate)
