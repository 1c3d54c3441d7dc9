"""What an experiment hands to a training session: plain values, and functions of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from PIL.Image import Image
from torch import nn

from common.runs.run import Run
from common.training.epochs import Given
from common.training.initial_weights import TokenRows
from common.training.loss import Figures, mean_of_sums
from common.training.tracking import Tracker


@dataclass(frozen=True, repr=False)
class Evaluation:
    """How good a model is on a split, and what it gave.

    Args:
        metrics: by name; for a sum that stands for nothing alone, what the task makes of it.
        signatures: how a metric was computed, where its name does not say it.
        files: texts, bytes, or pictures (as PNG), for the run folder by name, as "captions.jsonl"; the
            name of what was evaluated is put in: captions-val.jsonl. A picture is encoded when it is
            written: not at every validation.
        recorded: how it was made, for its file in the run folder: the search, the precision.
        notes: what the metrics say of each other, as that a baseline is better: lines that are printed
            below them.
        show: writes tables and pictures of it to TensorBoard.
        outputs: what the model gave, for those who call from code.
    """

    metrics: dict[str, float]
    signatures: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | bytes | Image] = field(default_factory=dict, repr=False)
    recorded: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    show: Callable[[Tracker], None] | None = field(default=None, repr=False)
    outputs: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        """The metrics: what a notebook shows where it is the last value of a cell."""
        return f"Evaluation({', '.join(f'{name}={v:.4g}' for name, v in self.metrics.items())})"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained, on what, and how it is judged.

    Args:
        model: has `loss(batch)`, as `Trainer` takes it; on its device.
        optimizer: over its parameters, with the full learning rates.
        batches: gives the training batches of an epoch, counted from 0, and nothing else decides what
            they are: a training is resumed in the middle of one. As `Trainer` takes them.
        evaluate: called as evaluate(model, split), with further arguments by name where the
            experiment has them, on `model` or on weights in its place: averaged, or an ensemble's.
            In training it is called with split "val" alone.
        monitor: the metric that chooses the best weights, and that patience counts on.
        mode: whether "max" or "min" of it is best.
        figures: from the sums of `Loss.sums` and the count to the figures that are logged.
        unit: what `Loss.count` counts, in the plural.
        charts: what TensorBoard shows together; see `Tracker`.
        options: those that `make_task` was given, with what it found out: these the run keeps. None:
            just those.
        tokens: which weights have a row for each token of a vocabulary: called with a run of this kind,
            whose weights a new one begins with, it gives the tokens here and there, by the weights'
            names. None: no weights.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Given
    evaluate: Callable[..., Evaluation]
    monitor: str
    mode: Literal["max", "min"] = "max"
    figures: Figures = mean_of_sums
    unit: str = "examples"
    charts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    options: Any = None
    tokens: Callable[[Run], TokenRows] | None = None
