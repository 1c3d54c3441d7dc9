"""A class for a whole sequence, as whether a sentence praises or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from common.compute.device import map_tensors, upload
from common.models.token_features import FeatureEmbedding, pad_features
from common.recurrent import Recurrent
from common.recurrent.cells import CellFactory
from common.recurrent.dropout import Dropout
from common.recurrent.names import CellName
from common.text.vocabulary import PAD
from common.training.loss import Loss


@dataclass(frozen=True)
class ClassifiedBatch:
    """Sequences with a class each.

    Args:
        tokens: (B, T) token ids, padded on the right with `PAD`; or (B, T, K), for each step the ids of
            K features, as of a word and of the pair that it ends.
        lengths: (B,) real steps, at least one; they stay on the host, which packs the sequences by them.
        labels: (B,) classes.
        base: (B, C) logits of a simpler model, or (B, 1) where there are two classes; zeros for none.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor
    base: Tensor

    @classmethod
    def collate(
        cls, sequences: Sequence[ArrayLike], labels: ArrayLike, base: ArrayLike
    ) -> ClassifiedBatch:
        """Make a batch of token ids, (T,) or (T, K) for each sequence."""
        tokens, lengths = pad_features(sequences)
        logits = torch.as_tensor(np.asarray(base, dtype=np.float32))
        return cls(tokens, lengths, torch.as_tensor(np.asarray(labels)), logits)

    def to(self, device: torch.device) -> ClassifiedBatch:
        """The batch on a device, except its lengths."""
        tokens, labels, base = (upload(e, device) for e in (self.tokens, self.labels, self.base))
        return ClassifiedBatch(tokens, self.lengths, labels, base)

    def pin_memory(self) -> ClassifiedBatch:
        return map_tensors(self, Tensor.pin_memory)

    def __len__(self) -> int:
        return len(self.tokens)


class SequenceClassifier(nn.Module):
    """Reads a sequence to its end, and scores every class.

        h_1 ... h_T = Recurrent(E x_1 ... E x_T)        logits = s base + W max(h_1 ... h_T) + b

    The greatest value of each feature over the steps stands for the sequence: what was read early is as
    near as what was read last. Two classes have a single logit, that of the second, and binary
    cross-entropy. Where a step has several features, the sum of their embeddings stands for it.

    Args:
        vocabulary_size: V, tokens.
        num_classes: at least 2.
        embedding_size: features of a token.
        hidden_size: features of a hidden state in each direction.
        cell: as `Recurrent` takes it.
        num_layers: stacked layers.
        bidirectional: read in both directions.
        dropout: probability of dropping a feature of the embeddings and of max(h) in training.
        through_time: the loss is a mean over the steps, after each of which the sequence so far is
            classified; only in one direction.
        unknown: token that stands for those which are not in the vocabulary.
        unknown_rate: probability of replacing a token or feature by it in training.

    Raises:
        ValueError: fewer than two classes, or both `through_time` and `bidirectional`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_classes: int,
        *,
        embedding_size: int = 100,
        hidden_size: int = 100,
        cell: CellName | CellFactory = "gru",
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        through_time: bool = False,
        unknown: int | None = None,
        unknown_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"there are at least two classes, not {num_classes}")
        if through_time and bidirectional:
            raise ValueError("a network that reads backwards has no class for what was read so far")
        self.embedding = FeatureEmbedding(
            vocabulary_size, embedding_size, unknown=unknown, unknown_rate=unknown_rate
        )
        self.recurrent = Recurrent(
            cell, embedding_size, hidden_size,
            num_layers=num_layers, bidirectional=bidirectional, dropout=dropout,
        )  # fmt: skip
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(self.recurrent.output_size, 1 if num_classes == 2 else num_classes)
        self.base_scale = nn.Parameter(torch.ones(()))
        self.through_time = through_time

    def forward(self, tokens: Tensor, lengths: Tensor, base: Tensor) -> Tensor:
        """Logits of the classes (B, C) after the last step; (B, 1) where there are two classes."""
        outputs = self._read(tokens, lengths)
        return self._classify(outputs.amax(1), base)

    def after_each_step(self, tokens: Tensor, lengths: Tensor, base: Tensor) -> Tensor:
        """As `forward`, (B, T, C): logits of what was read so far; only in one direction."""
        outputs = self._read(tokens, lengths)
        return self._classify(outputs.cummax(1).values, base.unsqueeze(1))

    def _read(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The outputs (B, T, H), which are no maximum at padding."""
        outputs, _ = self.recurrent(self.dropout(self.embedding(tokens)), lengths)
        first = tokens if tokens.dim() == 2 else tokens[:, :, 0]
        return outputs.masked_fill((first == PAD).unsqueeze(2), -torch.inf)

    def _classify(self, read: Tensor, base: Tensor) -> Tensor:
        return self.base_scale * base + self.output(self.dropout(read))

    def loss(self, batch: ClassifiedBatch) -> Loss:
        """Cross-entropy, a mean over the sequences.

        Its sum `accuracy` counts the sequences whose most probable class, at the end, is right.
        """
        if self.through_time:
            steps = self.after_each_step(batch.tokens, batch.lengths, batch.base)
            losses = self._cross_entropy(steps, batch.labels.unsqueeze(1).expand(steps.shape[:2]))
            lengths = upload(batch.lengths, steps.device)
            real = torch.arange(steps.shape[1], device=steps.device) < lengths.unsqueeze(1)
            value = (losses.masked_fill(~real, 0).sum(1) / lengths).mean()
            logits = steps[torch.arange(len(steps), device=steps.device), lengths - 1]
        else:
            logits = self(batch.tokens, batch.lengths, batch.base)
            value = self._cross_entropy(logits, batch.labels).mean()
        right = (_best(logits) == batch.labels).sum()
        return Loss(value, torch.full_like(value, len(batch)).detach(), {"accuracy": right.float()})

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """In nats (...), of logits (..., C) and classes (...)."""
        logits = logits.float()
        if logits.shape[-1] == 1:
            targets = labels.to(logits.dtype)
            return F.binary_cross_entropy_with_logits(logits.squeeze(-1), targets, reduction="none")
        flat = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none")
        return flat.view(labels.shape)

    def probabilities(self, batch: ClassifiedBatch) -> Tensor:
        """The probability of each class (B, C) after the last step; C is 2 where there are two."""
        logits = self(batch.tokens, batch.lengths, batch.base).float()
        if logits.shape[-1] == 1:
            logits = torch.cat((torch.zeros_like(logits), logits), dim=-1)
        return logits.softmax(-1)

    def predict(self, batch: ClassifiedBatch) -> Tensor:
        """The most probable class (B,) of each sequence."""
        return _best(self(batch.tokens, batch.lengths, batch.base))


def _best(logits: Tensor) -> Tensor:
    if logits.shape[-1] == 1:
        return (logits.squeeze(-1) > 0).long()
    return logits.argmax(-1)
