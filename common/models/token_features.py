"""Steps of one token or of several features, as a word and its endings: padded, and embedded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from common.text.vocabulary import PAD


def pad_features(sequences: Sequence[ArrayLike]) -> tuple[Tensor, Tensor]:
    """Token ids, (T,) or (T, K) for each sequence, as a batch.

    Returns:
        (B, T) or (B, T, K), padded on the right with `PAD`; and (B,) the lengths.
    """
    rows = [torch.as_tensor(np.asarray(sequence, dtype=np.int64)) for sequence in sequences]
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return tokens, torch.tensor([len(row) for row in rows])


class FeatureEmbedding(nn.Embedding):
    """Embeds each step as the sum of the embeddings of its features.

    Args:
        vocabulary_size: V, tokens and features.
        embedding_size: E.
        unknown: token that stands for those which are not in the vocabulary.
        unknown_rate: probability of replacing a feature by it in training.
        replaced: how many of a step's features, from the first on, may be replaced; None: all.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        *,
        unknown: int | None = None,
        unknown_rate: float = 0.0,
        replaced: int | None = None,
    ) -> None:
        super().__init__(vocabulary_size, embedding_size, padding_idx=PAD)
        # Small, since a rare token stays near its first values: they must not outweigh what is learnt.
        with torch.no_grad():
            self.weight.mul_(0.1)
        self.unknown = unknown
        self.unknown_rate = unknown_rate
        self.replaced = replaced

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (B, T), or (B, T, K) with K features of each step. Returns (B, T, E)."""
        features = tokens if tokens.dim() == 3 else tokens.unsqueeze(2)
        if self.training and self.unknown is not None and self.unknown_rate:
            most = features.shape[2] if self.replaced is None else self.replaced
            first, others = features[:, :, :most], features[:, :, most:]
            drawn = torch.rand(first.shape, device=tokens.device) < self.unknown_rate
            first = first.masked_fill(drawn & (first != PAD), self.unknown)
            features = torch.cat((first, others), dim=2)
        return super().forward(features).sum(2)
