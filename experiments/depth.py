"""What stacked recurrent layers buy and cost, with and without residual connections.

Shape: many to many. Language models of characters with one to four layers of the same width learn side
by side, several of each kind with different first weights. Beside them stands one layer that is as wide
as it takes for as many weights as four layers have. The table has the loss (nats a character) on
held-out text, its deviation over the first weights, the weights, and the time of a forward and backward
pass. Without data, the text is sentences of a small grammar. Expect that residual connections gain in a
training this short.

    python -m experiments.depth train
    python -m experiments.depth train --data tinyshakespeare.txt --hidden-size 128 --epochs 1
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import torch

from common.cli.experiment import experiment
from common.config import BASIC, MAY_CHANGE, File, Folder, Positive, Size
from common.data.texts import read_split, windows
from common.evaluation.charts import line_chart
from common.models import LanguageModel, SideBySide, TextBatch
from common.models.text_batches import text_batches
from common.recurrent.names import CellName, Connections
from common.runs import Kept
from common.synthetic.phrases import phrases
from common.text import PAD, Vocabulary
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions, held_out

STEPS = 64  # characters that are read in one go


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn by networks of different depth."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/depth")
    """Folder for all that the run writes."""
    data: Annotated[File | None, BASIC, MAY_CHANGE] = None
    """Text file, of which the last tenth is held out; sentences are made by default."""
    layers: Annotated[Positive, BASIC] = 4
    """Most layers."""
    networks: Annotated[Positive, BASIC] = 3
    """Networks of each kind."""
    cell: Annotated[CellName, BASIC] = "gru"
    """Recurrent cell."""
    hidden_size: Annotated[Size, BASIC] = 48
    """Features of a hidden state in each layer."""
    training: TrainingOptions = TrainingOptions(
        epochs=4, batch_size=32, learning_rate=5e-3, weight_decay=0.0, clip_norm=0.0,
        schedule="cosine", patience=0,
    )  # fmt: skip


Kind: TypeAlias = tuple[int, Connections, int]  # layers, what is between them, features of each


def read(data: Path | None, split: str) -> str:
    """The text of a split."""
    if data is not None:
        return read_split(data, split)
    count = {"train": 2000, "val": 200}[split]
    return "\n".join(pair.source for pair in phrases(count, split))  # type: ignore[arg-type]


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how they are compared."""
    text = read(options.data, "train")
    characters = kept.get("characters.json", Vocabulary, lambda: Vocabulary.build([list(text)]))

    def network(kind: Kind) -> LanguageModel:
        names: Any = dict(zip(("num_layers", "connections", "hidden_size"), kind, strict=True))
        return LanguageModel(len(characters), embedding_size=32, cell=options.cell, **names)

    def weights(kind: Kind) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in network(kind).parameters())

    size, depths = options.hidden_size, range(1, options.layers + 1)
    kinds: dict[str, Kind] = {f"plain_{n}": (n, "plain", size) for n in depths}
    kinds |= {f"residual_{n}": (n, "residual", size) for n in depths[1:]}
    most, wide = weights(kinds[f"plain_{options.layers}"]), size
    while weights((1, "plain", wide)) < most:
        wide += 1
    kinds["wide_1"] = (1, "plain", wide)
    model = kept.build_model(lambda: SideBySide({
        f"{name}_{n}": network(kind) for name, kind in kinds.items() for n in range(options.networks)
    })).to(device)  # fmt: skip

    @cache
    def parts(split: str) -> tuple[torch.Tensor, torch.Tensor]:
        return windows(characters.encode(read(options.data, split)), STEPS, STEPS, ignore=PAD)

    def batches(epoch: int, split: str = "train") -> Any:
        rows, seed = options.training.batch_size, options.training.seed
        return text_batches(*parts(split), rows, seed, epoch)

    def milliseconds(each: LanguageModel, batch: TextBatch) -> float:
        clock, found = time.process_time if device.type == "cpu" else time.perf_counter, []
        for _ in range(3):
            start = clock()
            with torch.enable_grad():
                gradients = torch.autograd.grad(each.loss(batch).value, [*each.parameters()])
            float(gradients[0].sum())  # waits for a GPU
            found.append(1000 * (clock() - start))
        return min(found)

    def evaluate(model: SideBySide, split: str) -> Evaluation:
        tokens, targets = (each[: options.training.batch_size] for each in parts(split))
        batch = TextBatch(tokens.to(device), targets.to(device))
        columns = ["layers", "width", "weights", "ms a pass", "loss", "deviation"]
        metrics, rows = dict[str, float](), list[list[str]]()
        for name, kind in kinds.items():
            same = [model.by_name[f"{name}_{n}"] for n in range(options.networks)]
            losses = [held_out(each, batches(0, split))["loss"] for each in same]
            loss, deviation = float(np.mean(losses)), float(np.std(losses))
            metrics |= {name: loss, f"{name}_deviation": deviation}
            row = [name, kind[2], weights(kind), round(milliseconds(same[0], batch), 1)]
            rows.append([*map(str, row), f"{loss:.4f}", f"{deviation:.4f}"])
        metrics["loss"] = float(np.mean([metrics[name] for name in kinds]))
        lines = {"plain": [metrics[f"plain_{n}"] for n in depths]}
        lines["residual"] = [metrics[f"residual_{n}" if n > 1 else "plain_1"] for n in depths]
        lines["one wide layer"] = [metrics["wide_1"]] * len(depths)
        picture = line_chart(lines, "layers above the first", "held-out loss, nats a character")

        def show(tracker: Tracker) -> None:
            tracker.table("depth", columns, rows)
            tracker.images("loss by depth", picture)

        table = "\n".join("\t".join(row) for row in [columns, *rows])
        return Evaluation(metrics, files={"depth.tsv": table, "depth.png": picture}, show=show)

    optimizer = options.training.make_optimizer(model)
    model.clip_each(optimizer, dict.fromkeys(model.by_name, 1.0))
    return Task(
        model=model, optimizer=optimizer, batches=batches, evaluate=evaluate,
        monitor="loss", mode="min", unit="characters",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
