"""How the layers and directions of a recurrent network are put together: sizes, merging, connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import get_args

import torch
from torch import Tensor

from common.recurrent.names import Connections, Merge


@dataclass(frozen=True)
class Stack:
    """The sizes of stacked layers, and what passes between them.

    Args:
        input_size: I, features of an input.
        hidden_sizes: H of each layer, from the lowest.
        num_directions: D, 1 or 2.
        merge: how the outputs of both directions become one: side by side ("concat"), or their
            "sum", "mean" or "product".
        connections: what the next layer reads: the outputs ("plain"); from the second layer on, the
            outputs plus what made them ("residual"); or all that the layer read, and its outputs beside
            it ("dense", Huang et al. 2017).

    Raises:
        ValueError: an unknown name, a size below 1, or residual connections of unequal sizes.
    """

    input_size: int
    hidden_sizes: tuple[int, ...]
    num_directions: int = 1
    merge: Merge = "concat"
    connections: Connections = "plain"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("merge", self.merge, get_args(Merge)),
            ("connections", self.connections, get_args(Connections)),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
        if min(self.input_size, *self.hidden_sizes) < 1:
            raise ValueError(f"sizes are at least 1, not {self.input_size}, {self.hidden_sizes}")
        if self.connections == "residual" and len(set(self.hidden_sizes)) > 1:
            raise ValueError(f"residual connections need layers of one size: {self.hidden_sizes}")

    @property
    def output_sizes(self) -> list[int]:
        """Features of the merged output of each layer."""
        factor = self.num_directions if self.merge == "concat" else 1
        return [factor * size for size in self.hidden_sizes]

    @property
    def input_sizes(self) -> list[int]:
        """Features that each layer reads."""
        sizes = [self.input_size]
        for size in self.output_sizes[:-1]:
            sizes.append(size + sizes[-1] if self.connections == "dense" else size)
        return sizes

    @property
    def is_plain(self) -> bool:
        """Whether `torch.nn` has such networks: layers of one size that read what is below."""
        if len(self.hidden_sizes) == 1:
            return True
        concatenates = self.num_directions == 1 or self.merge == "concat"
        return concatenates and self.connections == "plain" and len(set(self.hidden_sizes)) == 1

    def merged(self, outputs: Sequence[Tensor]) -> Tensor:
        """The output of a layer, from those of its directions, each (..., H)."""
        if len(outputs) == 1:
            return outputs[0]
        if self.merge == "concat":
            return torch.cat(list(outputs), dim=-1)
        if self.merge == "product":
            return reduce(torch.mul, outputs)
        total = reduce(torch.add, outputs)
        return total / len(outputs) if self.merge == "mean" else total

    def connect(self, layer: int, inputs: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """What a layer gives: its output, and the inputs of the next layer.

        Args:
            layer: its index.
            inputs: (..., I) what came to it.
            output: (..., H) the merged output of its cells.
        """
        if self.connections == "dense":
            return output, torch.cat([inputs, output], dim=-1)
        if self.connections == "residual" and layer > 0:
            output = output + inputs
        return output, output
