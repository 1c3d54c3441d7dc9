"""How much of a gradient is left a hundred steps back: it vanishes, explodes, or gates let it pass.

Shape: many to one. The adding problem: of many numbers two are marked, and their sum is predicted at the
end. Networks learn it side by side: simple ones whose recurrent weights are an orthogonal matrix times
0.5, 1 and 3, and an LSTM and a GRU whose gates begin with memories of up to a hundred steps. Each is
there twice, with its gradient clipped and without. The figure shows the norm of the gradient at every
time step, before the first update and after training. Expect steep lines of the simple networks, up and
down, and level ones of the gates. Where it explodes, an update without a clip saturates all states.

    python -m experiments.vanishing_gradients train
    python -m experiments.vanishing_gradients train --memory 0
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL.Image import Image

from common.cli.experiment import experiment
from common.compute.device import map_tensors, to_host
from common.config import BASIC, MAY_CHANGE, Amount, Bounds, Count, Folder, Size
from common.evaluation.charts import line_chart, maps_over_training
from common.evaluation.pages import stacked
from common.models import Forecaster, SeriesBatch, SideBySide
from common.recurrent import initialize_
from common.recurrent.chrono import chrono_
from common.recurrent.gradient_flow import gradient_flow
from common.runs import Kept
from common.synthetic.memory import adding
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions

UPDATES = 50  # of an epoch
TINY = 1e-45  # the smallest number in float32


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn the adding problem, and watch the gradients."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/vanishing_gradients")
    """Folder for all that the run writes."""
    length: Annotated[int, BASIC, Bounds(2, 10_000)] = 100
    """Time steps."""
    scales: Annotated[tuple[float, ...], BASIC] = (0.5, 1.0, 3.0)
    """Factors of the recurrent weights of the simple networks."""
    memory: Annotated[Count, BASIC] = 100
    """Steps that the gates remember from the start (chrono initialisation); 0: the usual biases."""
    clip: Annotated[Amount, BASIC] = 1.0
    """Largest norm of the gradient of each network that is clipped."""
    hidden_size: Annotated[Size, BASIC] = 32
    """Features of a hidden state."""
    training: TrainingOptions = TrainingOptions(
        epochs=12, batch_size=32, learning_rate=0.05, weight_decay=0.0, clip_norm=0.0, patience=0,
        precision="fp32",
    )  # fmt: skip


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how their gradients are measured."""
    scales = {f"rnn_{round(100 * scale)}%": scale for scale in options.scales}
    names = [*scales, "lstm", "gru"]

    def network(name: str) -> Forecaster:
        cell: Any = name if name in ("lstm", "gru") else "rnn"
        made = Forecaster(2, 1, options.length, hidden_size=options.hidden_size, cell=cell)
        made.output.reset_parameters()  # through zeros no gradient would go
        initialize_(made, "orthogonal")
        if cell != "rnn" and options.memory:
            chrono_(made, options.memory)
        for parameter, weight in made.named_parameters():
            if "weight_hh" in parameter:
                weight.detach().mul_(scales.get(name, 1.0))
        return made

    def networks() -> SideBySide:
        made = {f"{name}_clipped": network(name) for name in names}
        made |= {f"{name}_unclipped": deepcopy(made[f"{name}_clipped"]) for name in names}
        both = SideBySide(made)
        # Kept with the weights: what the gradient was before the first update.
        both.register_buffer("at_first", torch.zeros(len(made), options.length))
        return both

    def examples(draw: np.random.Generator, count: int) -> SeriesBatch:
        inputs, sums = map(torch.from_numpy, adding(draw, count, options.length))
        return SeriesBatch(inputs, torch.ones_like(sums), sums)  # it adds to the best constant, 1

    size, seed = options.training.batch_size, options.training.seed

    def batches(epoch: int) -> list[SeriesBatch]:
        draw = np.random.default_rng((seed, 1, epoch))
        return [examples(draw, size) for _ in range(UPDATES)]

    held_out = examples(np.random.default_rng((seed, 0)), 500)
    watched = map_tensors(held_out, lambda each: each[:size]).to(device)

    def flows(model: SideBySide) -> dict[str, torch.Tensor]:
        found = gradient_flow(model, lambda: model.loss(watched).value)  # the sum of all losses
        return {name: found[f"models.{name}.recurrent.l0"] for name in model.by_name}

    model: Any = kept.build_model(networks).to(device)
    model.at_first.copy_(torch.stack(list(flows(model).values())))

    def chart(flow: Mapping[str, Sequence[float]], when: str, ending: str) -> Image:
        lines = {name.replace("_", " "): flow[name + ending] for name in names}
        return line_chart(lines, f"time step; {when}", "norm of the gradient", logarithmic=True)

    def evaluate(model: Any, split: str) -> Evaluation:
        first = dict(zip(model.by_name, to_host(model.at_first).tolist(), strict=True))
        now = {name: flow.tolist() for name, flow in flows(model).items()}
        metrics, batch = {}, held_out.to(device)
        for name, each in model.by_name.items():
            metrics[f"{name}_error"] = float((each.predict(batch) - batch.targets).square().mean())
        for name in names:  # powers of ten from the last step to the first, before the first update
            end, start = (max(first[f"{name}_clipped"][at], TINY) for at in (-1, 0))
            metrics[f"{name}_decades"] = math.log10(start) - math.log10(end)
        metrics["error"] = float(np.mean([metrics[f"{name}_clipped_error"] for name in names]))
        picture = stacked([
            chart(first, "before the first update", "_clipped"),
            chart(now, "trained, the gradient clipped", "_clipped"),
            chart(now, "trained, not clipped", "_unclipped"),
        ])  # fmt: skip

        def show(tracker: Tracker) -> None:
            tracker.images("gradient norm by time step", picture)
            found = {name: tracker.curve(f"gradient {name}", each) for name, each in now.items()}
            updates = next(steps for steps, _ in found.values())
            maps = {name.replace("_", " "): curves for name, (_, curves) in found.items()}
            shown = maps_over_training(maps, updates, "time step", "norm of the gradient")
            tracker.images("gradient norm over training", shown)

        return Evaluation(metrics, files={"gradients.png": picture}, show=show)

    optimizer = torch.optim.SGD(model.parameters(), options.training.learning_rate)
    model.clip_each(optimizer, {n: options.clip * n.endswith("_clipped") for n in model.by_name})
    return Task(
        model=model, optimizer=optimizer, batches=batches, evaluate=evaluate,
        monitor="error", mode="min", unit="sequences",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
