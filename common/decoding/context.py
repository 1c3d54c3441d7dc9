"""What every encoder hands to every decoder."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from torch import Tensor


@dataclass(frozen=True)
class Context:
    """A batch of encoded inputs: a summary of each, and what attention may read.

    Args:
        vector: (B, C) one summary of the whole input: pooled image features, a last hidden state.
        memory: (B, S, M) what attention reads: image regions, encoder outputs; None without attention.
        mask: (B, S) True where the memory is real, False at padding; None if all of it is real.
        keys: (B, S, A) the memory as the attention scores it; filled by `RecurrentDecoder.prepare`.
        joined: (B, P) the vector's share of every step's input product; filled by `prepare`.
        readout: (B, R) the vector's share of the output layer; filled by `prepare`.
    """

    vector: Tensor
    memory: Tensor | None = None
    mask: Tensor | None = None
    keys: Tensor | None = None
    joined: Tensor | None = None
    readout: Tensor | None = None

    @property
    def batch_size(self) -> int:
        return self.vector.shape[0]

    def select(self, rows: Tensor) -> Context:
        """The contexts of some rows of the batch, in the order of `rows` (N,)."""
        return self._map(lambda tensor: tensor.index_select(0, rows))

    def _map(self, function) -> Context:
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            self, **{name: function(value) for name, value in tensors.items() if value is not None}
        )
