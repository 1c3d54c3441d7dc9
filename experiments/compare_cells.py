"""Every cell of the core at equal parameters, on short tasks of every shape.

Shape: all. The network is the same, an embedding, one recurrent layer and an output, and so are the
updates and their rate; the cells differ, and their sizes, by which all have as many weights. The tasks: a
word is spelt (one to many), digits are summed (many to one), a text goes on (many to many), symbols are
reversed (sequence to sequence). Beside them stands the best guess without a memory. Expect that none is
the best in all: those that are linear in their past read texts well, and cannot add.

    python -m experiments.compare_cells
    python -m experiments.compare_cells --full --epochs 20 --processes 2

Each training is a run of its own, with an entry in the page HParams of TensorBoard. The same command goes
on with a comparison that was stopped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean, pstdev
from typing import Annotated, Any

import torch

from common.cli.command_line import parse_options
from common.config import BASIC, MAY_CHANGE, Folder, Positive
from common.data.batching import Batches, bucketed_batches
from common.errors import run_command
from common.evaluation.pictures import dot_chart, png
from common.files import atomic_write
from common.models.language_model import LanguageModel, score
from common.models.sizes import largest_size, number_of_weights
from common.models.text_batches import TextBatch
from common.models.tokens import token_figures
from common.recurrent import cells
from common.runs import Kept
from common.synthetic.sequences import TASKS, SequenceTask, memoryless
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions
from experiments.parallel.trainings import train_all

CELLS: dict[str, Any] = {
    "SimpleRNN": "rnn", "SimpleRNN, ReLU": "rnn_relu", "LSTM": "lstm",
    "LSTM, peepholes": cells.PeepholeLSTMCell, "LSTM, coupled gates": cells.CoupledLSTMCell,
    "LSTM, layer norm": cells.LayerNormLSTMCell, "JANET": cells.JANETCell, "GRU": "gru",
    "GRU, reset before": partial(cells.GRUCell, reset_after=False),
    "GRU, layer norm": cells.LayerNormGRUCell, "MGU": cells.MGUCell, "IndRNN": cells.IndRNNCell,
    "coRNN": cells.CoRNNCell, "LEM": cells.LEMCell, "minGRU": cells.MinGRUCell,
    "minLSTM": cells.MinLSTMCell, "HGRN": cells.HGRNCell,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """One training: a cell, by its name in `CELLS`, on a task."""

    run_dir: Annotated[Folder, MAY_CHANGE] = Path("runs/compare_cells/run")
    task: SequenceTask = "reverse"
    cell: str = "LSTM"
    weights: Positive = 30_000
    training: TrainingOptions = TrainingOptions(
        epochs=5, learning_rate=0.01, weight_decay=0.0, schedule="cosine", clip_norm=1.0, patience=0,
        precision="fp32", threads=1,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Train every cell, and print a table."""

    folder: Annotated[Folder, BASIC] = Path("runs/compare_cells")
    """Folder of all runs, and for the table and the figure."""
    full: Annotated[bool, BASIC] = False
    """All four tasks and three seeds, and not one of each."""
    epochs: Annotated[Positive, BASIC] = 5
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

    def batches(epoch: int) -> Batches[TextBatch]:
        rows = bucketed_batches(lengths, training.batch_size, seed=training.seed, epoch=epoch)
        return Batches(rows, lambda row: TextBatch(
            *(each[row, : lengths[row].max()] for each in (tokens, targets))
        ))  # fmt: skip

    def evaluate(model: LanguageModel, split: str) -> Evaluation:
        scored = score(model, *map(torch.from_numpy, data[split]))
        metrics = {"accuracy": scored.accuracy, "loss": scored.loss, "hidden_size": hidden}
        metrics["weights"] = number_of_weights(model)
        return Evaluation(metrics | {"memoryless": memoryless(data["train"], *data[split])})

    return Task(
        model=model, optimizer=training.make_optimizer(model), batches=batches, evaluate=evaluate,
        monitor="accuracy", figures=token_figures, unit="tokens",
    )  # fmt: skip


def compare(chosen: Comparison) -> None:
    """Train what is not yet trained; print a table of all, and save it with its figure."""
    tasks, seeds = (list(TASKS), 3) if chosen.full else (["reverse"], 1)

    def planned(task: SequenceTask, cell: str, seed: int) -> Options:
        name = f"{task}-{re.sub('[^a-z]+', '-', cell.lower())}-{seed}"
        how = {"epochs": chosen.epochs, "seed": seed, "device": chosen.device}
        return Options(
            run_dir=chosen.folder / name, resume=True, task=task, cell=cell, weights=chosen.weights,
            training=replace(Options.training, **how),
        )  # fmt: skip

    trainings = [planned(*each) for each in product(tasks, CELLS, range(seeds))]
    found = iter(train_all(trainings, make_task, "compare_cells", chosen.folder, chosen.processes))
    columns = ["task", "cell", "features", "weights", "accuracy", "spread", "ms an update"]
    rows, panels, marked = list[list[str]](), {task: {} for task in tasks}, dict[str, float]()
    for task, cell in product(tasks, CELLS):
        of = [next(found) for _ in range(seeds)]
        right, costs = [each["accuracy"] for each in of], [each["milliseconds"] or 0 for each in of]
        mean, spread, marked[task] = fmean(right), pstdev(right), of[0]["memoryless"]
        panels[task][cell] = mean, spread
        sizes = str(of[0]["hidden_size"]), f"{of[0]['weights']:,}"
        rows.append([task, cell, *sizes, f"{mean:.3f}", f"{spread:.3f}", f"{max(costs):.1f}"])
    rows += [[task, "without a memory", "", "", f"{marked[task]:.3f}", "", ""] for task in tasks]
    picture = dot_chart(panels, "accuracy", marked)
    with (
        Tracker(chosen.folder, progress=False) as tracker,
        atomic_write(chosen.folder / "cells.png", "wb") as file,
    ):
        tracker.rewind(0, {})
        tracker.table("cells", columns, rows)
        tracker.images("cells", picture)
        file.write(png(picture))
    with atomic_write(chosen.folder / "cells.tsv") as table:
        table.writelines("\t".join(row) + "\n" for row in [columns, *rows])
    for row in [columns, *rows]:
        print("".join(f"{each:<{20 if n < 2 else 10}}" for n, each in enumerate(row)).rstrip())


def main() -> None:
    """Read the arguments and compare."""
    prog = "python -m experiments.compare_cells"
    compare(parse_options(Comparison, prog=prog, description=__doc__))


if __name__ == "__main__":
    run_command(main)
