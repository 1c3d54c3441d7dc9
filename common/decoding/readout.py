"""The output layer's features, made of the hidden state and of what else predicts the next token."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from common.decoding.names import ReadoutKind
from common.recurrent.deferred import DeferredLinear, view_of


class Readout(nn.Module):
    """The features f that logits are a linear map of.

        f = g(W_h h + W_m m + W_v v + W_e e + b)

    of the hidden state h, what attention read m, the vector v and the previous word's embedding e. g is
    the identity ("linear"), tanh (Luong et al. 2015, eq. 5), or the larger of each two features
    ("maxout", Goodfellow et al. 2013; Cho et al. 2014).

    Args:
        hidden_size: H, features of h.
        read_size: M, features of m; 0 without it.
        vector_size: C, features of v; 0 without it.
        embedding_size: E, features of e; 0 without it.
        size: F, features of f.
        kind: g: "linear", "tanh" or "maxout".
        optional: if h is the only input and `kind` is not "maxout", f is h itself.
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
        alone = read_size + vector_size + embedding_size == 0
        self.is_identity = optional and alone and kind != "maxout"
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
        """The features of Q steps of each of B sentences.

        Args:
            hidden: (B, Q, H).
            read: (B, Q, M), or None.
            embedded: (B, Q, E), not used if `embedding_size` is 0.
            vector: (B, W) already multiplied by `self.vector`, once for all steps, or None; W is F,
                or 2 F for maxout.

        Returns:
            (B, Q, F).
        """
        if self.is_identity:
            return hidden
        total = self.hidden(hidden)  # (B, Q, W)
        if read is not None:
            total = total + self.read(read)
        if vector is not None:
            total = total + vector.unsqueeze(1)
        if hasattr(self, "word"):
            total = total + self.word(embedded)
        if self.kind == "maxout":
            return total.unflatten(-1, (-1, 2)).amax(dim=-1)
        return total.tanh() if self.kind == "tanh" else total

    def deferred(self) -> Self:
        """A view for one loop over time, sharing the weights; see `Recurrent.deferred`."""
        view = view_of(self)
        view._modules = {}
        for name, linear in self.named_children():
            assert isinstance(linear, nn.Linear)
            object.__setattr__(view, name, DeferredLinear(linear.weight, linear.bias))
        return view
