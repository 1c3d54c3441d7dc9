"""A label for every step of a sequence, as the part of speech of each word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from common.compute.device import map_tensors, upload
from common.data.batching import pad_sequences
from common.models.token_features import FeatureEmbedding, pad_features
from common.models.tokens import token_loss
from common.recurrent import Recurrent
from common.recurrent.cells import CellFactory
from common.recurrent.dropout import Dropout
from common.recurrent.names import CellName
from common.training.loss import Loss


@dataclass(frozen=True)
class TaggedBatch:
    """Sequences with the label of every step.

    Args:
        tokens: (B, T) token ids, padded on the right with `PAD`; or (B, T, K), for each step the ids
            of K features, as of a word and of its endings.
        lengths: (B,) real steps; they stay on the host, which packs the sequences by them.
        labels: (B, T) label ids; -1 at padding, and where the model does not know the label.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor

    @classmethod
    def collate(
        cls, sequences: Sequence[ArrayLike], labels: Sequence[Sequence[int]]
    ) -> TaggedBatch:
        """Make a batch of token ids, (T,) or (T, K) for each sequence, and label ids (T,)."""
        return cls(*pad_features(sequences), pad_sequences(labels, -1))

    def to(self, device: torch.device) -> TaggedBatch:
        """The batch on a device, except its lengths."""
        return TaggedBatch(upload(self.tokens, device), self.lengths, upload(self.labels, device))

    def pin_memory(self) -> TaggedBatch:
        return map_tensors(self, Tensor.pin_memory)

    def __len__(self) -> int:
        return len(self.tokens)


class SequenceTagger(nn.Module):
    """Embeds tokens, runs a recurrent network over them, and scores every label at every step.

        h_1 ... h_T = Recurrent(E x_1 ... E x_T)        logits_t = W h_t + b

    Where a step has several features, the sum of their embeddings stands for it.

    Args:
        vocabulary_size: V, tokens.
        num_labels: L, labels.
        embedding_size: features of a token.
        hidden_size: features of a hidden state in each direction.
        cell: as `Recurrent` takes it.
        num_layers: stacked layers.
        bidirectional: read in both directions: each label then depends on the whole sequence.
        dropout: probability of dropping a feature of the embeddings and hidden states in training.
        unknown: token that stands for those which are not in the vocabulary.
        unknown_rate: probability of replacing a token, or the first feature of a step, by it in
            training, so that the model learns to tag unknown tokens by their neighbours and by their
            other features.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_labels: int,
        *,
        embedding_size: int = 100,
        hidden_size: int = 100,
        cell: CellName | CellFactory = "lstm",
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        unknown: int | None = None,
        unknown_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = FeatureEmbedding(
            vocabulary_size, embedding_size, unknown=unknown, unknown_rate=unknown_rate, replaced=1
        )
        self.recurrent = Recurrent(
            cell, embedding_size, hidden_size,
            num_layers=num_layers, bidirectional=bidirectional, dropout=dropout,
        )  # fmt: skip
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(self.recurrent.output_size, num_labels)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits of the labels (B, T, L) for tokens (B, T) or (B, T, K) of given lengths (B,)."""
        outputs, _ = self.recurrent(self.dropout(self.embedding(tokens)), lengths)
        return self.output(self.dropout(outputs))

    def loss(self, batch: TaggedBatch) -> Loss:
        """Cross-entropy, a mean over the steps that have a label.

        Its sum `accuracy` counts the steps whose most probable label is right.
        """
        logits = self(batch.tokens, batch.lengths)
        loss = token_loss(logits, batch.labels, pad=-1)
        return loss._replace(sums={"accuracy": loss.sums["correct"]})

    def predict(self, batch: TaggedBatch) -> list[Tensor]:
        """The ids of the most probable labels, (length,) for each sequence of a batch."""
        best = self(batch.tokens, batch.lengths).argmax(-1)
        return [row[:length] for row, length in zip(best, batch.lengths.tolist(), strict=True)]
