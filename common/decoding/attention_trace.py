"""Where attention looked for every token of the sentences that a search returns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from common.compute.device import to_host, upload


class AttentionTrace:
    """The attention weights of a search's steps, and which row of a step each row of the next continues.

    Nothing is copied while the search runs: what was kept of a step is a reference to its weights and
    to the rows that went on. `gather` follows them back from the last row of a sentence.
    """

    def __init__(self) -> None:
        self._weights: list[Tensor | None] = []
        self._parents: list[Tensor | None] = []

    def add_weights(self, weights: Tensor | None) -> None:
        """weights: (R, S) of the R rows of a step; None where the model has no attention."""
        self._weights.append(weights)

    def add_parents(self, parents: Tensor | None) -> None:
        """parents: (R',) the row of this step that each row of the next continues; None: the same."""
        self._parents.append(parents)

    def gather(
        self, rows: Sequence[int], lengths: Sequence[int], finished: Sequence[bool]
    ) -> list[Tensor] | None:
        """The weights of sentences.

        Args:
            rows: of each of N sentences its row in step n, where n is its number of tokens.
            lengths: n of each.
            finished: whether it ended with eos, which step n predicted.

        Returns:
            Of each sentence a tensor (n, S), or (n + 1, S) if it ended: float32, on the host. None
            where there is no attention.
        """
        steps = max(lengths, default=-1) + 1
        weights = [step for step in self._weights[:steps] if step is not None]
        if len(weights) < max(steps, 1):
            return None
        parents = to_host(self._parents[:steps])
        last, ends = torch.tensor(rows, device="cpu"), torch.tensor(lengths, device="cpu")
        row = torch.zeros_like(last)
        places = []  # (N,) for each step, the last first; of no meaning beyond a sentence's end
        for step in reversed(range(steps)):
            row = torch.where(ends == step, last, row)
            places.append(row)
            before = parents[step - 1] if step else None
            row = row if before is None else before[row]
        index = upload(torch.stack(places[::-1]), weights[0].device)  # (T, N)
        found = torch.stack(
            [step.index_select(0, at) for step, at in zip(weights, index, strict=True)], 1
        )
        tables = to_host(found.float())  # (N, T, S)
        return [
            table[: length + ended].clone()
            for table, length, ended in zip(tables, lengths, finished, strict=True)
        ]
