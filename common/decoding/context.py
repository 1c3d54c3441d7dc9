"""What every encoder hands to every decoder."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from common.decoding.attention import Memory


@dataclass(frozen=True)
class Context:
    """A batch of encoded inputs: a summary of each, what attention may read, both, or neither.

    Args:
        vector: (B, C) one summary of the whole input: pooled image features, a last hidden state.
        memory: (B, S, M) what attention reads: image regions, encoder outputs.
        mask: (B, S) True where the memory is real, False at padding; None if all of it is real.
        rows: (B, 0) tells the number of sentences where there is neither; see `nothing`.
        prepared_memory: stands for memory and mask once `RecurrentDecoder.prepare` has filled it.
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
        if all(tensor is None for tensor in self._of_all_rows()):
            raise ValueError("a context of neither vector nor memory is made by Context.nothing")

    @classmethod
    def nothing(cls, batch_size: int, like: Tensor) -> Context:
        """The context of a language model: `batch_size` sentences, on the device of `like`."""
        return cls(rows=like.new_empty(batch_size, 0))

    @property
    def batch_size(self) -> int:
        if self.vector is not None:
            return self.vector.shape[0]
        return next(tensor.shape[0] for tensor in self._of_all_rows() if tensor is not None)

    def select(self, rows: Tensor) -> Context:
        """The contexts of some rows of the batch, in the order of `rows` (N,)."""

        def chosen(value: Tensor | Memory | None) -> Any:
            if isinstance(value, Tensor):
                return value.index_select(0, rows)
            return None if value is None else type(value)(*map(chosen, value))

        return type(self)(**{each.name: chosen(getattr(self, each.name)) for each in fields(self)})

    def _of_all_rows(self) -> tuple[Tensor | None, ...]:
        prepared = None if self.prepared_memory is None else self.prepared_memory.values
        return self.vector, self.memory, self.rows, prepared
