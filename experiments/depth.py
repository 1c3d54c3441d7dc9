"""What stacked recurrent layers buy and cost, with and without residual connections.

Language models of characters with one to four layers of the same width learn side by side, several of
each kind with different first weights. Beside them stands one layer that is as wide as it takes for as
many weights as four layers have. The table has the loss (nats a character) on held-out text, its
deviation over the first weights, the weights, and the time of a forward and backward pass.
Without data, the text is sentences of a small grammar, of which one layer learns nearly all there is.

    python -m experiments.depth train
    python -m experiments.depth train --data tinyshakespeare.txt --hidden-size 128 --epochs 1
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch

from common.cli.experiment import experiment
from common.config import BASIC, MAY_CHANGE, File, Folder, Positive, Size
from common.data.texts import read_split, windows
from common.evaluation.pictures import line_chart, png
from common.models import LanguageModel, SideBySide, TextBatch
from common.models.text_batches import text_batches
from common.recurrent.names import Connections, StandardCell
from common.runs import Kept
from common.synthetic.phrases import phrases
from common.text import PAD, Vocabulary
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions, held_out


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
    cell: Annotated[StandardCell, BASIC] = "gru"
    """Recurrent cell."""
    hidden_size: Annotated[Size, BASIC] = 48
    """Features of a hidden state in each layer."""
    steps: Annotated[Positive, BASIC] = 64
    """Characters that are read in one go."""
    training: TrainingOptions = TrainingOptions(
        epochs=6, batch_size=32, learning_rate=5e-3, weight_decay=0.0, clip_norm=0.0,
        schedule="cosine", patience=0,
    )  # fmt: skip


class Kind(NamedTuple):
    """A kind of network."""

    layers: int
    connections: Connections
    width: int


def read(data: Path | None, split: str) -> str:
    """The text of a split."""
    if data is not None:
        return read_split(data, split)
    count = {"train": 2000, "val": 300}[split]
    return "\n".join(pair.source for pair in phrases(count, split))  # type: ignore[arg-type]


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how they are compared."""
    text = read(options.data, "train")
    characters = kept.get("characters.json", Vocabulary, lambda: Vocabulary.build([list(text)]))

    def network(kind: Kind) -> LanguageModel:
        return LanguageModel(
            len(characters), embedding_size=32, hidden_size=kind.width, cell=options.cell,
            num_layers=kind.layers, connections=kind.connections,
        )  # fmt: skip

    def weights(kind: Kind) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in network(kind).parameters())

    size, depths = options.hidden_size, range(1, options.layers + 1)
    kinds = {f"plain_{n}": Kind(n, "plain", size) for n in depths}
    kinds |= {f"residual_{n}": Kind(n, "residual", size) for n in depths[1:]}
    most, wide = weights(kinds[f"plain_{options.layers}"]), size
    while weights(Kind(1, "plain", wide)) < most:
        wide += 1
    kinds["wide_1"] = Kind(1, "plain", wide)
    model = kept.build_model(lambda: SideBySide({
        f"{name}_{n}": network(kind) for name, kind in kinds.items() for n in range(options.networks)
    })).to(device)  # fmt: skip

    @cache
    def parts(split: str) -> tuple[torch.Tensor, torch.Tensor]:
        ids = characters.encode(list(read(options.data, split)))
        return windows(ids, options.steps, options.steps, ignore=PAD)

    def batches(epoch: int, split: str = "train") -> Any:
        rows, seed = options.training.batch_size, options.training.seed
        return text_batches(*parts(split), rows, seed, epoch)

    def milliseconds(each: LanguageModel, batch: TextBatch) -> float:
        found = []
        for _ in range(3):
            start = time.perf_counter()
            with torch.enable_grad():
                loss = each.loss(batch).value
            grads = torch.autograd.grad(loss, [*each.parameters()], allow_unused=True)
            float(grads[-1].sum())  # waits for a GPU
            found.append(1000 * (time.perf_counter() - start))
        return min(found)

    def evaluate(model: SideBySide, split: str) -> Evaluation:
        batch = TextBatch(
            *(each[: options.training.batch_size].to(device) for each in parts(split))
        )
        columns = ["kind", "layers", "width", "weights", "ms a pass", "loss", "deviation"]
        metrics, rows = {}, []
        for name, kind in kinds.items():
            same = [model.by_name[f"{name}_{n}"] for n in range(options.networks)]
            losses = [held_out(each, batches(0, split))["loss"] for each in same]
            metrics[name], metrics[f"{name}_deviation"] = np.mean(losses), np.std(losses)
            took = f"{milliseconds(same[0], batch):.1f}"
            known = name.rpartition("_")[0], kind.layers, kind.width, weights(kind), took
            rows.append([*map(str, known), f"{np.mean(losses):.4f}", f"{np.std(losses):.4f}"])
        metrics["loss"] = np.mean([metrics[name] for name in kinds])
        of_kind = {"residual": ["plain_1"], "plain": []}
        for name in kinds:
            of_kind.get(name.rpartition("_")[0], []).append(name)
        lines = {kind: [metrics[n] for n in names] for kind, names in of_kind.items()}
        lines["one wide layer"] = [metrics["wide_1"]] * len(depths)
        picture = line_chart(lines, "layers above the first", "held-out loss, nats a character")

        def show(tracker: Tracker) -> None:
            tracker.table("depth", columns, rows)
            tracker.images("loss by depth", picture)

        table = "\n".join("\t".join(row) for row in [columns, *rows])
        metrics = {name: float(value) for name, value in metrics.items()}
        return Evaluation(metrics, files={"depth.tsv": table, "depth.png": png(picture)}, show=show)

    optimizer = options.training.make_optimizer(model)
    model.clip_each(optimizer, dict.fromkeys(model.by_name, 1.0))
    return Task(
        model=model, optimizer=optimizer, batches=batches, evaluate=evaluate,
        monitor="loss", mode="min", unit="characters",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
