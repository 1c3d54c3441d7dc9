"""Training examples of the translator: pairs of sentences as ids, in length-bucketed batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.data.batching import Batches, bucketed_batches, pad_sequences
from common.data.corpus import Corpus
from common.models.encoder_decoder import Batch
from common.text.vocabulary import BOS, EOS, PAD


def source_batch(sentences: Sequence[Sequence[int] | np.ndarray]) -> tuple[Tensor, Tensor]:
    """Sentences as `SentenceEncoder` reads them: ids (B, S) with end token and padding, lengths (B,).

    With the end token, no sentence is empty for the encoder and the attention.
    """
    tokens = pad_sequences([[*sentence, EOS] for sentence in sentences], PAD)
    return tokens, torch.tensor([len(sentence) + 1 for sentence in sentences])


class TranslationExamples:
    """Pairs of sentences as word ids.

    Args:
        sources, targets: N sentences each, without start and end token: lists, or a `Corpus` on
            disk, which is read batch by batch.
        lengths: (N, 2) words of each source and target; counted if not given, which reads them all.
        usable: indices of the pairs to learn from; all by default.
    """

    def __init__(
        self,
        sources: Sequence[Any] | Corpus,
        targets: Sequence[Any] | Corpus,
        *,
        lengths: np.ndarray | None = None,
        usable: np.ndarray | None = None,
    ) -> None:
        if len(sources) != len(targets):
            raise ValueError(f"{len(sources)} sources, but {len(targets)} targets")
        self.sources: Any = sources
        self.targets: Any = targets
        self.usable = np.arange(len(sources)) if usable is None else usable
        if lengths is None:
            pairs = zip(sources, targets, strict=True)
            lengths = np.array([(len(source), len(target)) for source, target in pairs])
        # With the end tokens, which are read and written too.
        self.lengths = lengths.reshape(-1, 2)[self.usable] + 1

    def __len__(self) -> int:
        return len(self.usable)

    @property
    def longest_targets(self) -> tuple[int, ...]:
        """The most tokens of a target whose source has up to 0, 1, 2, ... tokens, without end tokens."""
        sources, targets = self.lengths.T - 1
        longest = np.zeros(sources.max() + 1, int)
        np.maximum.at(longest, sources, targets)
        return tuple(np.maximum.accumulate(longest).tolist())

    def batches(
        self,
        epoch: int,
        *,
        batch_size: int,
        max_tokens: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
    ) -> Batches[Batch]:
        """The batches of an epoch, a function of (seed, epoch): training can be resumed in any.

        Args:
            epoch: counted from 0.
            batch_size: pairs in a batch.
            max_tokens: at most so many on either side of a batch, padding included, where its
                sentences are long.
            seed: of their order.
            shuffle: False for evaluation.
        """
        indices = bucketed_batches(
            self.lengths, batch_size, max_tokens=max_tokens, seed=seed, epoch=epoch, shuffle=shuffle
        )
        return Batches(indices, self._collate)

    def _collate(self, rows: np.ndarray) -> Batch:
        pairs = self.usable[rows]
        if isinstance(self.sources, Corpus) and isinstance(self.targets, Corpus):
            # Whole batches at a time, several times faster than sentence by sentence.
            tokens = self.sources.padded(pairs, eos=EOS)
            lengths = torch.from_numpy(self.sources.lengths[pairs] + 1).long()
            return Batch.collate(
                (tokens,), self.targets.padded(pairs, bos=BOS, eos=EOS), lengths=lengths
            )
        tokens, lengths = source_batch([self.sources[pair] for pair in pairs])
        targets = [self.targets[pair] for pair in pairs]
        return Batch.collate((tokens,), targets, lengths=lengths)
