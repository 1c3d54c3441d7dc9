"""The network that reads a sentence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.compute.device import upload
from common.decoding.context import Context
from common.recurrent import Recurrent, RecurrentState
from common.recurrent.cells import CellFactory
from common.recurrent.dropout import Dropout
from common.recurrent.names import CellName
from common.text.vocabulary import PAD
from seq2seq.options import Summary


class SentenceEncoder(nn.Module):
    """A recurrent network over the words of a sentence (Cho et al. 2014; Bahdanau et al. 2015).

        h_1 ... h_S = Recurrent(E x_1 ... E x_S)
        vector      = summary of h_1 ... h_S        memory = h_1 ... h_S

    Padding reaches neither: a sentence is encoded the same alone and in any batch.

    Args:
        vocabulary_size: V, words of the source.
        embedding_size: E, features of a word.
        hidden_size: H, features of a hidden state in each direction.
        cell: as `Recurrent` takes it.
        num_layers: stacked layers.
        bidirectional: read in both directions (D = 2); hidden states are concatenated.
        summary: what the context vector is: `last`, the state after the last word of each
            direction (Cho; Sutskever); `max` or `mean` of all hidden states.
        attention: hand on the hidden states as the memory.
        reverse: read the sentence from its end to its beginning (Sutskever et al. 2014, 3.3), so
            that its first words are the last read. The memory stays in the order of the sentence.
        embedding_dropout: fraction of embedding features dropped while training.
        layer_dropout: fraction of features dropped between layers.
        output_dropout: fraction of features of the hidden states dropped.

    Attributes:
        context_size: features of the context vector, D H.
        memory_size: features of the memory, D H; None without attention.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        cell: CellName | CellFactory = "gru",
        num_layers: int = 1,
        bidirectional: bool = True,
        summary: Summary = "last",
        attention: bool = True,
        reverse: bool = False,
        embedding_dropout: float = 0.0,
        layer_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if summary not in ("last", "max", "mean"):
            raise ValueError(f"summary is last, max or mean, not {summary!r}")
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=PAD)
        self.recurrent = Recurrent(
            cell, embedding_size, hidden_size,
            num_layers=num_layers, bidirectional=bidirectional, dropout=layer_dropout,
        )  # fmt: skip
        self.context_size = self.recurrent.output_size
        self.memory_size = self.recurrent.output_size if attention else None
        self.summary = summary
        self.attention = attention
        self.reverse = reverse
        self.embedding_dropout = Dropout(embedding_dropout)
        self.output_dropout = Dropout(output_dropout)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Context:
        """Read a batch of sentences.

        Args:
            tokens: (B, S) word ids, padded on the right.
            lengths: (B,) words of each sentence, at least 1; best on the CPU, see `Recurrent`.
        """
        given, lengths = lengths, upload(lengths, tokens.device)
        positions = torch.arange(tokens.shape[1], device=tokens.device)  # (S,)
        mask = positions < lengths.unsqueeze(1)  # (B, S)
        if self.reverse:
            # Its own inverse: position s of n becomes n - 1 - s, and padding stays where it is.
            mirror = torch.where(mask, lengths.unsqueeze(1) - 1 - positions, positions)
            tokens = tokens.gather(1, mirror)
        embedded = self.embedding_dropout(self.embedding(tokens))  # (B, S, E)
        outputs, state = self.recurrent(embedded, given)  # (B, S, D H)
        vector = self._summarise(outputs, state, mask, lengths)
        if not self.attention:
            return Context(self.output_dropout(vector))
        if self.reverse:
            outputs = outputs.gather(1, mirror.unsqueeze(2).expand_as(outputs))
        return Context(self.output_dropout(vector), self.output_dropout(outputs), mask)

    def _summarise(
        self, outputs: Tensor, state: RecurrentState, mask: Tensor, lengths: Tensor
    ) -> Tensor:
        """outputs (B, S, D H), zero at padding; state after the last word. Returns (B, D H)."""
        if self.summary == "last":
            top = state[-self.recurrent.num_directions :]
            return torch.cat([cell[0] for cell in top], dim=1)
        if self.summary == "mean":
            return outputs.sum(1) / lengths.unsqueeze(1)
        return outputs.masked_fill(~mask.unsqueeze(2), -torch.inf).amax(1)
