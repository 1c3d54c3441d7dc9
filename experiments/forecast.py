"""The next values of a series, by a recurrent network that corrects a simple forecast.

Shape: many to one. A backtest: all is learnt from the past, and judged on the last steps of the series.
Beside the networks stand what they have to be better than: the last value or the season before, the same
moved by the recent change, ridge regression on the window, and the same networks with a linear map in
the place of the recurrence. The errors are means over networks that begin with different weights.
The data are a column of a CSV file; without one, a chaotic series is made, of which ridge regression
leaves several times the error of a recurrent network.

    python -m experiments.forecast train
    python -m experiments.forecast train --data FILE --horizon 48 --window 48 --season 336
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from common.cli.experiment import experiment
from common.compute.device import map_tensors
from common.config import BASIC, MAY_CHANGE, Count, DropoutRate, File, Folder, Positive, Size
from common.data.batching import Batches, bucketed_batches
from common.data.series import Scale, WindowedSeries, read_column
from common.errors import UserError
from common.evaluation.charts import line_chart
from common.models import Forecaster, Ridge, SeriesBatch, SideBySide
from common.recurrent.names import CellName
from common.runs import Kept
from common.synthetic.series import mackey_glass
from common.training import Evaluation, RunOptions, Task, TrainingOptions, held_out, predictions


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to forecast a series."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/forecast")
    """Folder for all that the run writes."""
    data: Annotated[File | None, BASIC, MAY_CHANGE] = None
    """CSV file; a series is made by default."""
    column: Annotated[str | None, BASIC] = None
    """Name or number of its column; the last by default."""
    horizon: Annotated[Positive, BASIC] = 12
    """Steps that are forecast from each origin, as a day."""
    window: Annotated[Positive, BASIC] = 24
    """Steps before the origin that are read, as the day before."""
    season: Annotated[Count, BASIC] = 0
    """What is forecast is the change against so many steps before, as a week; 0: the value itself."""
    cycles: Annotated[tuple[int, ...], BASIC] = ()
    """Periods, as a year, whose phase is an input."""
    scale: Annotated[Scale, BASIC] = "linear"
    """Units of the forecast: log where changes are in proportion, sqrt for counts."""
    backtest: Annotated[Positive, BASIC] = 240
    """Steps at the end that are forecast and not learnt from."""
    leave_out: Annotated[Count, BASIC] = 0
    """Newest steps that are not looked at: choose settings with the backtest left out."""
    stride: Annotated[Positive, BASIC] = 1
    """Steps from one training origin to the next; the horizon: all at the hour of the backtest's."""
    cell: Annotated[CellName, BASIC] = "gru"
    """Recurrence of the networks."""
    networks: Annotated[Positive, BASIC] = 5
    """Networks with the recurrence, and as many with a linear map."""
    hidden_size: Annotated[Size, BASIC] = 32
    """Features of a hidden state."""
    dropout: DropoutRate = 0.1
    """Probability with which features are dropped while training."""
    training: TrainingOptions = TrainingOptions(
        epochs=15, learning_rate=3e-3, weight_decay=0.01, schedule="cosine", patience=0
    )


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how they are judged."""
    path = options.data
    values = mackey_glass(2000) if path is None else read_column(path, options.column)
    values = values[: len(values) - options.leave_out]
    past, reach = len(values) - options.backtest, options.season + options.window
    try:
        series = WindowedSeries(
            values, past, options.horizon, options.window, options.season, options.cycles, options.scale
        )  # fmt: skip
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from None
    origins = {
        "train": series.origins(0, past, options.stride),
        "val": series.origins(past - reach, len(values), options.horizon),
    }
    if len(origins["train"]) < 10 or not len(origins["val"]):
        raise UserError(f"{len(values)} values are too few: give more, or ask for fewer steps.")
    features, targets = (of(origins["train"]) for of in (series.features, series.targets))
    ridge = Ridge.fit(features, targets, gap=-(-options.horizon // options.stride) - 1)
    sizes = series.inputs(origins["val"]).shape[2], options.horizon, options.window
    sized = partial(Forecaster, *sizes, hidden_size=options.hidden_size, dropout=options.dropout)
    kinds: list[Any] = [kind for kind in (options.cell, "linear") for _ in range(options.networks)]
    names = {f"{kind}{number}": kind for number, kind in enumerate(kinds)}
    model = kept.build_model(lambda: SideBySide({n: sized(cell=k) for n, k in names.items()}))

    @cache
    def examples(split: str) -> SeriesBatch:
        there = origins[split]
        # A network corrects the forecasts of examples that the regression did not see.
        base = ridge.left_out if split == "train" else ridge(series.features(there))
        arrays = (series.inputs(there), base, series.targets(there))
        return SeriesBatch(*(torch.from_numpy(np.float32(each)) for each in arrays))

    def batches(epoch: int, split: str = "train", shuffle: bool = True) -> Batches[SeriesBatch]:
        indices = bucketed_batches(
            np.ones(len(origins[split])), options.training.batch_size,
            seed=options.training.seed, epoch=epoch, shuffle=shuffle,
        )  # fmt: skip
        return Batches(indices, lambda rows: map_tensors(examples(split), lambda each: each[rows]))

    def evaluate(model: SideBySide, split: str) -> Evaluation:
        there, ahead = origins[split], batches(0, split, shuffle=False)
        scaled = series.simple(there) | {"ridge": ridge(series.features(there))}
        for name, network in model.by_name.items():
            scaled[name] = torch.stack(predictions(network, ahead, network.predict)).numpy()
        found = {name: series.forecasts(each, there) for name, each in scaled.items()}
        true = values[series.steps(there)]
        errors: dict[str, list[float]] = {}
        for name, forecast in found.items():
            error = np.abs(forecast - true) / (true / 100 if options.scale == "log" else 1)
            errors.setdefault(names.get(name, name), []).append(float(error.mean()))
        metrics = {name: float(np.mean(each)) for name, each in errors.items()}
        unit = "mean absolute error" + (", percent" if options.scale == "log" else "")
        signatures = dict.fromkeys(metrics, unit)
        metrics["spread"] = float(np.std(errors[options.cell]))
        metrics["fit"] = held_out(model, batches(0, shuffle=False))["loss"] / len(names)
        shown = ["true", *series.simple(there), "ridge", *list(names)[:1]]
        last, found["true"] = 7 * max(options.horizon, 12), true
        newest = {name: found[name].ravel()[-last:].tolist() for name in shown}
        picture = line_chart(newest, "the last steps of the backtest", "value")
        return Evaluation(
            metrics, signatures, files={"forecast.png": picture},
            show=lambda tracker: tracker.images("forecast", picture),
        )  # fmt: skip

    return Task(
        model=model.to(device), optimizer=options.training.make_optimizer(model), batches=batches,
        evaluate=evaluate, monitor="fit", mode="min", unit="values",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
