"""Which cell remembers what it read a hundred or a thousand steps ago.

Shape: many to one, many to many. Adding: of many numbers two are marked, and their sum is predicted at
the end. Copying: ten symbols are read, and written again after a delay. `memoryless` is the loss of who
remembers nothing. Each cell learns at several rates, on the same batches, and is reported at that which
is best on validation sequences. Gates begin with memories as long as the sequence. Expect that LSTM and
GRU add and the simple network does not, and that it copies and they do not.

    python -m experiments.long_memory train
    python -m experiments.long_memory train --full --length 1000 --cells mingru hgrn --rates 0.03
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch

from common.cli.experiment import experiment
from common.compute.device import map_tensors
from common.config import BASIC, MAY_CHANGE, Amount, Bounds, Count, Folder, Size
from common.data.batching import Batches
from common.data.splits import named_split
from common.errors import UserError
from common.evaluation.charts import line_chart
from common.models import Forecaster, SequenceTagger, SeriesBatch, SideBySide, TaggedBatch
from common.recurrent import CoRNNCell, initialize_
from common.recurrent.chrono import chrono_
from common.runs import Kept
from common.synthetic import memory
from common.training import Evaluation, RunOptions, Task, TrainingOptions, held_out, predictions

Remembering: TypeAlias = Literal["rnn", "lstm", "gru", "mingru", "hgrn", "cornn"]
GATED = ("lstm", "gru", "mingru", "hgrn")
MADE: Any = {"cornn": partial(CoRNNCell, dt=0.5, gamma=8.0, epsilon=0.0)}  # undamped
UPDATES, EXAMPLES, CLIP = 50, 1000, 1.0  # of an epoch; held out; the largest norm of a gradient


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to remember."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/long_memory")
    """Folder for all that the run writes."""
    task: Annotated[Literal["adding", "copying"], BASIC] = "adding"
    """What is learnt."""
    length: Annotated[int, BASIC, Bounds(2, 10_000)] = 100
    """Numbers of which two are added; steps between reading and writing."""
    full: Annotated[bool, BASIC] = False
    """Twice as many updates."""
    cells: Annotated[tuple[Remembering, ...], BASIC] = ("rnn", "lstm", "gru")
    """Cells that are compared."""
    rates: Annotated[tuple[float, ...], BASIC] = (0.001, 0.003, 0.01)
    """Learning rates of each, in the place of --learning-rate."""
    slower: Annotated[Amount, BASIC] = 1.0
    """Learning rate of all but the readout, relative to that of the readout."""
    memory: Annotated[Count | None, BASIC] = None
    """Longest memory that gates begin with; the sequence by default, 0: the usual biases."""
    hidden_size: Annotated[Size, BASIC] = 64
    """Features of a hidden state."""
    training: TrainingOptions = TrainingOptions(
        epochs=8, weight_decay=0.01, clip_norm=0.0, schedule="cosine", patience=0
    )


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how well they remember."""
    adding, size = options.task == "adding", options.training.batch_size
    steps = options.length + (0 if adding else 2 * memory.COPIED)
    rates = {f"{cell}_{n}": rate for cell in options.cells for n, rate in enumerate(options.rates)}
    if not rates:
        raise UserError("give at least one of --cells, and one of --rates.")

    def network(cell: str) -> Forecaster | SequenceTagger:
        how: Any = {"hidden_size": options.hidden_size, "cell": MADE.get(cell, cell)}
        if adding:
            made: Any = Forecaster(2, 1, steps, error="squared", **how)
            made.output.reset_parameters()  # zeros teach the recurrence nothing
        else:  # a blank is token 0, whose embedding is 0: it does not drive the state
            how |= {"embedding_size": memory.GO, "bidirectional": False}
            made = SequenceTagger(memory.GO + 1, memory.GO, **how)
        if cell not in GATED:
            initialize_(made.recurrent, "orthogonal")
        elif options.memory != 0:
            chrono_(made.recurrent, options.memory or steps)
        if cell == "cornn":
            made.recurrent.cells["l0"].swing_freely_(torch.rand(options.hidden_size) * 2.6 + 0.2)
        return made

    model = kept.build_model(lambda: SideBySide({n: network(n.rpartition("_")[0]) for n in rates}))
    model.to(device)

    def examples(numbers: tuple[int, ...], count: int) -> Any:
        make = memory.adding if adding else memory.copying
        draw = np.random.default_rng((options.training.seed, *numbers))
        read, wanted = map(torch.from_numpy, make(draw, count, options.length))
        if not adding:
            return TaggedBatch(read, torch.full((count,), steps), wanted)
        return SeriesBatch(read, torch.ones_like(wanted), wanted)  # 1 is the best constant

    def batches(epoch: int) -> Batches[Any]:
        indices = [np.array([n]) for n in range(UPDATES * (2 if options.full else 1))]
        return Batches(indices, lambda at: examples((0, epoch, int(at[0])), size))

    def judge(each: Any, split: str) -> tuple[float, list[float]]:  # the loss, and its parts
        true = examples((named_split({"val": 1, "test": 2}, split, None),), EXAMPLES)
        rows = np.split(np.arange(EXAMPLES), 10)
        parts = Batches(rows, lambda at: map_tensors(true, lambda of_all: of_all[at]))
        found = torch.stack(predictions(each, parts, each.predict))
        if not adding:
            wrong = (found != true.labels)[:, -memory.COPIED :].float()
            return held_out(each, parts)["loss"], wrong.mean(0).tolist()
        errors, first = (found - true.targets).square()[:, 0], true.inputs[:, :, 1].argmax(1)
        tenths = [float(errors[each].mean()) for each in first.argsort().chunk(10)]
        return float(errors.mean()), tenths

    def evaluate(model: SideBySide, split: str) -> Evaluation:
        metrics = {"memoryless": memory.CONSTANT if adding else memory.memoryless(options.length)}
        lines: dict[str, list[float]] = {}
        for cell in options.cells:
            tried = [f"{cell}_{number}" for number in range(len(options.rates))]
            best = min(tried, key=lambda name: judge(model.by_name[name], "val")[0])
            metrics[cell], lines[cell] = judge(model.by_name[best], split)
            metrics[f"{cell}_rate"] = rates[best]
        metrics["loss"] = float(np.mean([metrics[cell] for cell in options.cells]))
        below = "tenth of the sequences, by the first number's place" if adding else "symbol"
        picture = line_chart(lines, below, "error", logarithmic=adding)
        return Evaluation(
            metrics, files={"memory.png": picture},
            show=lambda tracker: tracker.images("what is forgotten", picture),
        )  # fmt: skip

    def rate(path: str) -> float:
        return rates[path.split(".")[1]] * (1.0 if ".output." in path else options.slower)

    groups = [{"params": [each], "lr": rate(path)} for path, each in model.named_parameters()]
    optimizer = torch.optim.AdamW(groups, weight_decay=options.training.weight_decay)
    model.clip_each(optimizer, dict.fromkeys(rates, CLIP))
    return Task(
        model=model, optimizer=optimizer, batches=batches, evaluate=evaluate,
        monitor="loss", mode="min", unit="sequences",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
