"""Every cell of the core at equal parameters, on short tasks of every shape.

Shape: all. An embedding, one recurrent layer and an output; the cells differ, and their sizes, by which
all networks have as many weights. The tasks: a word is spelt (one to many), digits are summed (many to
one), a text goes on (many to many), symbols are reversed (sequence to sequence). Beside them stands the
best guess without a memory. Expect that no cell is best in all: those that are linear in their past
cannot sum. Each training is a run with its entry in TensorBoard's HParams; the same command resumes.

    python -m experiments.compare_cells
    python -m experiments.compare_cells --full --epochs 20 --processes 2
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean, pstdev
from typing import Annotated, Any

import numpy as np
import torch

from common.cli.command_line import run_options
from common.config import BASIC, MAY_CHANGE, Folder, Positive, Quiet
from common.data.batching import Batches, bucketed_batches
from common.evaluation.charts import dot_chart
from common.models.language_model import LanguageModel, score
from common.models.sizes import largest_size, number_of_weights
from common.models.text_batches import TextBatch
from common.models.tokens import token_figures
from common.recurrent import CoRNNCell
from common.runs import Kept
from common.synthetic.sequences import TASKS, SequenceTask, memoryless
from common.training import Evaluation, RunOptions, Task, TrainingOptions
from experiments.parallel.trainings import report_all, train_all

CELLS: dict[str, Any] = {
    "SimpleRNN": "rnn", "SimpleRNN, ReLU": "rnn_relu", "LSTM": "lstm",
    "LSTM, peepholes": "lstm_peephole", "LSTM, coupled gates": "lstm_coupled",
    "LSTM, layer norm": "lstm_layer_norm", "JANET": "janet", "GRU": "gru",
    "GRU, reset before": "gru_cho", "MGU": "mgu", "GRU, layer norm": "gru_layer_norm",
    "IndRNN": "indrnn", "LEM": "lem", "coRNN": "cornn",
    "coRNN, dt 1": partial(CoRNNCell, dt=1, gamma=0.5, epsilon=0.5),
    "minGRU": "mingru", "minLSTM": "minlstm", "HGRN": "hgrn",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """One training: a cell, by its name in `CELLS`, on a task."""

    run_dir: Annotated[Folder, MAY_CHANGE] = Path("runs/compare_cells/run")
    task: SequenceTask = "reverse"
    cell: str = "LSTM"
    weights: Positive = 30_000
    training: TrainingOptions = TrainingOptions(
        epochs=3, learning_rate=0.01, weight_decay=0.0, schedule="cosine", clip_norm=1.0, patience=0,
        precision="fp32", threads=1,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Comparison(Quiet):
    """Train every cell, and print a table."""

    folder: Annotated[Folder, BASIC] = Path("runs/compare_cells")
    """Folder of all runs, and for the table and the figure."""
    full: Annotated[bool, BASIC] = False
    """All four tasks and three seeds, and not one of each."""
    epochs: Annotated[Positive, BASIC] = 3
    """Epochs of each training, of 125 updates."""
    weights: Annotated[Positive, BASIC] = 30_000
    """Most weights of a network; each has nearly as many."""
    processes: Annotated[Positive, BASIC] = 1
    """Trainings at once, of one thread each."""
    device: Annotated[str, BASIC] = "auto"
    """cpu, cuda, cuda:1, mps, or any other device of PyTorch; auto takes a GPU if there is one."""


def build(cell: str, tokens: int, hidden_size: int) -> LanguageModel:
    """The network: an embedding, a recurrent layer, an output."""
    scheme: Any = "identity" if cell == "SimpleRNN, ReLU" else "orthogonal"
    options: dict[str, Any] = {"embedding_size": 32, "cell": CELLS[cell], "initialization": scheme}
    return LanguageModel(tokens, hidden_size=hidden_size, **options)


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What a network learns, and how it is judged."""
    training, make = options.training, TASKS[options.task]
    data = {"train": make(8000, 0), "val": make(500, 1)}
    tokens, targets = map(torch.from_numpy, data["train"])
    lengths, size = (tokens != 0).sum(1).numpy(), 1 + int(max(tokens.max(), targets.max()))
    make_model = partial(build, options.cell, size)
    hidden = largest_size(make_model, options.weights)
    model = kept.build_model(lambda: make_model(hidden)).to(device)
    weights = number_of_weights(model)

    def batches(epoch: int) -> Batches[TextBatch]:
        rows = bucketed_batches(lengths, training.batch_size, seed=training.seed, epoch=epoch)
        return Batches(rows, collate)

    def collate(row: np.ndarray) -> TextBatch:
        longest = lengths[row].max()
        return TextBatch(tokens[row, :longest], targets[row, :longest])

    def evaluate(model: LanguageModel, split: str) -> Evaluation:
        scored = score(model, *map(torch.from_numpy, data[split]))
        guess = memoryless(data["train"], *data[split])
        metrics = {"accuracy": scored.accuracy, "loss": scored.loss, "memoryless": guess}
        return Evaluation(metrics, recorded={"hidden_size": hidden, "weights": weights})

    return Task(
        model=model, optimizer=training.make_optimizer(model), batches=batches, evaluate=evaluate,
        monitor="accuracy", figures=token_figures, unit="tokens",
    )  # fmt: skip


def compare(chosen: Comparison) -> None:
    """Train what is not yet trained; print a table of all, and save it with its figure."""
    tasks, seeds = (list(TASKS), 3) if chosen.full else (list(TASKS)[-1:], 1)
    of = partial(replace, Options.training, epochs=chosen.epochs, device=chosen.device)
    plan = [
        Options(
            run_dir=chosen.folder / f"{task}-{re.sub('[^a-z0-9]+', '-', cell.lower())}-{seed}",
            resume=True, task=task, cell=cell, weights=chosen.weights, training=of(seed=seed),
        )
        for task, cell, seed in product(tasks, CELLS, range(seeds))
    ]  # fmt: skip
    found = iter(train_all(plan, make_task, "compare_cells", chosen.folder, chosen.processes))
    rows = [["task", "cell", "features", "weights", "accuracy", "spread", "ms an update"]]
    panels: dict[str, dict[str, tuple[float, float]]] = {task: {} for task in tasks}
    marked: dict[str, float] = {}
    for task, cell in product(tasks, CELLS):
        each = [next(found) for _ in range(seeds)]
        right, costs = ([one[name] or 0 for one in each] for name in ("accuracy", "milliseconds"))
        panels[task][cell], marked[task] = (fmean(right), pstdev(right)), each[0]["memoryless"]
        sizes = str(each[0]["hidden_size"]), f"{each[0]['weights']:,}"
        figures = *(f"{value:.3f}" for value in panels[task][cell]), f"{max(costs):.1f}"
        rows.append([task, cell, *sizes, *figures])
    rows += [[task, "without a memory", "", "", f"{marked[task]:.3f}", "", ""] for task in tasks]
    report_all(chosen.folder, "cells", rows, dot_chart(panels, "accuracy", marked))


if __name__ == "__main__":
    prog = "python -m experiments.compare_cells"
    run_options(compare, Comparison, prog=prog, description=__doc__)
