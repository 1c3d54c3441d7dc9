"""The output layer's features: hidden state, attended memory, vector and previous word, joined."""

from __future__ import annotations

import copy
from typing import Self

from torch import Tensor, nn

from common.decoding.names import ReadoutKind
from common.recurrent.deferred import DeferredLinear


class Readout(nn.Module):
    """Joins all that predicts a token into the features that logits are a linear map of.

        joined = W_h h + W_m m + W_v v + W_e e + b

    of the hidden state h, what attention read m, the vector v and the previous word's embedding e;
    then nothing ("linear"), tanh (Luong et al. 2015, eq. 5), or the larger of two ("maxout",
    Goodfellow et al. 2013; Cho et al. 2014).

    Args:
        hidden_size: H, features of h.
        read_size: M, features of m; 0 where attention does not join.
        vector_size: C, features of v; 0 where it does not join.
        embedding_size: E, features of e; 0 where it does not join.
        size: F, features of the result.
        kind: "linear", "tanh" or "maxout".
        optional: where nothing joins h and `kind` is no maxout, the features are h itself.
    """

    def __init__(
        self,
        hidden_size: int,
        read_size: int,
        vector_size: int,
        embedding_size: int,
        *,
        size: int,
        kind: ReadoutKind,
        optional: bool,
    ) -> None:
        super().__init__()
        joins = read_size + vector_size + embedding_size > 0
        self.is_identity = optional and not joins and kind != "maxout"
        self.kind = kind
        self.size = hidden_size if self.is_identity else size
        width = 2 * size if kind == "maxout" else size
        if self.is_identity:
            return
        self.hidden = nn.Linear(hidden_size, width)
        if read_size:
            self.read = nn.Linear(read_size, width, bias=False)
        if vector_size:
            self.vector = nn.Linear(vector_size, width, bias=False)
        if embedding_size:
            self.word = nn.Linear(embedding_size, width, bias=False)

    def forward(
        self, hidden: Tensor, read: Tensor | None, embedded: Tensor, vector: Tensor | None
    ) -> Tensor:
        """Join the features of Q steps of each of B sentences.

        Args:
            hidden: (B, Q, H).
            read: (B, Q, M), if attention reads.
            embedded: (B, Q, E), used where the previous word joins.
            vector: (B, W) already multiplied by `self.vector`, once for all steps; W is F, or 2 F
                for maxout.

        Returns:
            (B, Q, F).
        """
        if self.is_identity:
            return hidden
        joined = self.hidden(hidden)  # (B, Q, W)
        if read is not None:
            joined = joined + self.read(read)
        if vector is not None:
            joined = joined + vector.unsqueeze(1)
        if hasattr(self, "word"):
            joined = joined + self.word(embedded)
        if self.kind == "maxout":
            return joined.unflatten(-1, (-1, 2)).amax(dim=-1)
        return joined.tanh() if self.kind == "tanh" else joined

    def deferred(self) -> Self:
        """A view for one loop over time, sharing the weights; see `Recurrent.deferred`."""
        view = copy.copy(self)
        view._modules = {}
        for name, linear in self.named_children():
            assert isinstance(linear, nn.Linear)
            object.__setattr__(view, name, DeferredLinear(linear.weight, linear.bias))
        return view
