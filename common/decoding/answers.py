"""What a search returns: the hypotheses of each sentence, in the order of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from common.compute.device import to_host, upload
from common.decoding.hypotheses import Hypothesis, Pool

Trace: TypeAlias = Sequence[tuple[Tensor | None, Tensor | None]]
"""For each step of a search the attention weights (R, S) of its rows, None without attention; and which
of these rows each row (R',) of the next step continues, None if every row stays in its place."""


@dataclass(frozen=True)
class Closed:
    """Sentences that are done.

    Args:
        sentences: (D) their places in the batch.
        finished: the best of their hypotheses that ended.
        cut_off: the best of those that had not ended; used where too few have.
    """

    sentences: list[int]
    finished: Pool
    cut_off: Pool


def in_order(closed: list[Closed], n_best: int, trace: Trace | None) -> list[list[Hypothesis]]:
    """The answers for all sentences in the order of the batch, brought to the host at once.

    Args:
        closed: all sentences of the batch, in groups.
        n_best: most hypotheses of each.
        trace: of the search; None if attention is not to be kept.
    """
    sentences = [sentence for group in closed for sentence in group.sentences]
    pools = (
        Pool.join([group.finished for group in closed]),
        Pool.join([group.cut_off for group in closed]),
    )
    finished, cut_off = to_host(pools)
    ended, others = finished.to_lists(finished=True), cut_off.to_lists(finished=False)
    answers = {
        sentence: (first + second)[:n_best]
        for sentence, first, second in zip(sentences, ended, others, strict=True)
    }
    ordered = [answers[sentence] for sentence in range(len(answers))]
    flat = [pair for best in ordered for pair in best]
    attention = iter([None] * len(flat) if trace is None else _attention(flat, trace))
    return [
        [replace(hypothesis, attention=next(attention)) for hypothesis, _ in best]
        for best in ordered
    ]


def _attention(found: Sequence[tuple[Hypothesis, int]], trace: Trace) -> Sequence[Tensor | None]:
    """The attention weights of hypotheses, gathered by following their rows back from the last step.

    Args:
        found: N hypotheses, each with its row in step n, where n is its number of tokens.
        trace: of the search.

    Returns:
        For each hypothesis a tensor (n, S), or (n + 1, S) if it ended with eos, which step n
        predicted: float32, on the host. None where there is no attention.
    """
    lengths = [len(hypothesis.tokens) for hypothesis, _ in found]
    steps = max(lengths, default=-1) + 1
    weights = [step for step, _ in trace[:steps] if step is not None]
    if len(weights) < max(steps, 1):
        return [None] * len(found)
    parents = to_host([None, *(parents for _, parents in trace[:steps])])
    last = torch.tensor([row for _, row in found], device="cpu")
    ends = torch.tensor(lengths, device="cpu")
    row = torch.zeros_like(last)
    places = []  # (N,) for each step, the last first; of no meaning beyond a sentence's end
    for step in reversed(range(steps)):
        row = torch.where(ends == step, last, row)
        places.append(row)
        before = parents[step]
        row = row if before is None else before[row]
    index = upload(torch.stack(places[::-1]), weights[0].device)  # (T, N)
    rows = [step.index_select(0, at) for step, at in zip(weights, index, strict=True)]
    tables = to_host(torch.stack(rows, 1).float())  # (N, T, S)
    return [
        table[: len(hypothesis.tokens) + hypothesis.finished].clone()
        for table, (hypothesis, _) in zip(tables, found, strict=True)
    ]
