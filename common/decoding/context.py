"""The output of every encoder and the input of every decoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from common.compute.device import map_tensors
from common.decoding.attention import Memory


@dataclass(frozen=True)
class Context:
    """A batch of encoded inputs: a summary of each, what attention may read, both, or neither.

    Args:
        vector: (B, C) one summary of the whole input: pooled image features, a last hidden state.
        memory: (B, S, M) what attention reads: image regions, encoder outputs.
        mask: (B, S) True where the memory is real, False at padding; None if all of it is real.
        rows: (B, 0), whose length is the number of sentences where there is neither; see `nothing`.
        prepared_memory: replaces memory and mask; filled by `RecurrentDecoder.prepare`.
        vector_input_projection: (B, P) the vector's part of every step's input product; filled by
            `prepare`.
        vector_readout_projection: (B, R) the vector's part of the output layer; filled by `prepare`.

    Raises:
        ValueError: it has neither vector nor memory nor rows.
    """

    vector: Tensor | None = None
    memory: Tensor | None = None
    mask: Tensor | None = None
    rows: Tensor | None = None
    prepared_memory: Memory | None = None
    vector_input_projection: Tensor | None = None
    vector_readout_projection: Tensor | None = None

    def __post_init__(self) -> None:
        if self._any_rows() is None:
            raise ValueError("a context of neither vector nor memory is made by Context.nothing")

    @classmethod
    def nothing(cls, batch_size: int, like: Tensor) -> Context:
        """The context of a language model: `batch_size` sentences, on the device of `like`."""
        return cls(rows=like.new_empty(batch_size, 0))

    @property
    def batch_size(self) -> int:
        rows = self._any_rows()
        return 0 if rows is None else rows.shape[0]

    def select(self, rows: Tensor) -> Context:
        """The contexts of some rows of the batch, in the order of `rows` (N,)."""

        return map_tensors(self, lambda tensor: tensor.index_select(0, rows))

    def _any_rows(self) -> Tensor | None:
        """A tensor whose first dimension is B; None if there is none."""
        for tensor in (self.vector, self.memory, self.rows):
            if tensor is not None:
                return tensor
        return None if self.prepared_memory is None else self.prepared_memory.values
