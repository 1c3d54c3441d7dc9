"""What happens in a video clip: the action, every frame, and a caption, by one recurrent network.

Shape: many to one, many to many, sequence to sequence. A small convolutional network reads each frame, a
recurrent one reads them in order, and three heads share what it hands on. Without data, clips are made
in which a wedge does one thing and then another: the action is what takes longer. Only the order of the
frames tells the direction, as two networks show that are trained beside: one sees a single frame of each
clip (`_frame`: at the best place), one the frames in random order (`_shuffled`). Expect more than 0.95,
and less than 0.5 of these two. The data are a folder for each class, in it one for each clip with its
frames, as walk/one/001.png; what is to be found in every frame, and to be written, is then the class.

    python -m experiments.video train
    python -m experiments.video train --data DIR --size 64
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, get_args

import numpy as np
import torch
from PIL import Image

from common.cli.experiment import experiment
from common.config import BASIC, MAY_CHANGE, Bounds, DropoutRate, Folder, Positive, Size
from common.data.batching import Batches, bucketed_batches
from common.data.clips import Clip, View, read_clips
from common.data.splits import named_split
from common.evaluation.pages import stacked
from common.evaluation.sheet import film_strip
from common.models import ClipBatch, ClipModel, ClipNames, SideBySide
from common.recurrent.names import CellName
from common.runs import Kept
from common.synthetic.clips import moving_shapes
from common.training import Evaluation, RunOptions, Task, TrainingOptions, predictions

Judged: TypeAlias = tuple[dict[str, float], list[Clip]]  # scores, and what was found in the clips
VIEWS = get_args(View)  # what each network sees of a clip
FRAMES = 12  # of a clip are shown, and tried alone, from its first to its last


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn what happens in clips."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/video")
    """Folder for all that the run writes."""
    data: Annotated[Folder | None, BASIC, MAY_CHANGE] = None
    """Folder of clips, DIR/CLASS/CLIP/FRAME.png; a moving wedge by default."""
    clips: Annotated[Positive, BASIC] = 2000
    """Clips to learn from, where they are made."""
    size: Annotated[int, BASIC, Bounds(8, 1024)] = 32
    """Pixels of a side of a frame; those of a folder are resized to it."""
    cell: Annotated[CellName, BASIC] = "gru"
    """Recurrent cell of the network that reads the frames."""
    hidden_size: Annotated[Size, BASIC] = 64
    """Features of a hidden state in each direction."""
    dropout: DropoutRate = 0.1
    """Probability with which features are dropped while training."""
    training: TrainingOptions = TrainingOptions(
        epochs=8, batch_size=32, learning_rate=3e-3, schedule="cosine", patience=0
    )


def scores(clips: Sequence[Clip], found: Sequence[Clip]) -> dict[str, float]:
    """The fractions of actions, of events and of whole captions that are right."""
    pairs = list(zip(clips, found, strict=True))
    right = {
        "action": [c.action == f.action for c, f in pairs],
        "events": [a == b for c, f in pairs for a, b in zip(c.events, f.events, strict=True)],
        "caption": [list(c.caption) == list(f.caption) for c, f in pairs],
    }
    return {name: float(np.mean(each)) for name, each in right.items()}


def strip(clip: Clip, found: Clip) -> Image.Image:
    """Up to 12 frames of a clip with what was predicted, and what is true where it differs."""
    places = np.unique(np.linspace(0, len(clip.frames) - 1, FRAMES).round().astype(int))
    pairs = [(clip.events[place], found.events[place]) for place in places]
    texts = [event if event == true else f"{event} (is: {true})" for true, event in pairs]
    title = f"{found.action}: {' '.join(found.caption)}"
    return film_strip([Image.fromarray(clip.frames[place]) for place in places], texts, title)


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how they are judged."""
    training = options.training
    if options.data is None:
        made = {"train": options.clips, "val": max(10, options.clips // 5)}
        data = {s: moving_shapes(n, seed, options.size) for seed, (s, n) in enumerate(made.items())}
    else:
        data = read_clips(options.data, options.size, training.seed)
    train, _ = (named_split(data, split, options.data, "clip") for split in ("train", "val"))
    names = kept.get_several("", ClipNames, lambda: ClipNames.of(train))
    sizes = len(names.actions), len(names.events), len(names.words)
    model = kept.build_model(lambda: SideBySide({
        view: ClipModel(
            *sizes, hidden_size=options.hidden_size, cell=options.cell, dropout=options.dropout
        ) for view in VIEWS
    })).to(device)  # fmt: skip

    def indices(split: str, epoch: int = 0) -> list[np.ndarray]:
        lengths = [len(clip.frames) for clip in named_split(data, split, options.data, "clip")]
        size, learns = training.batch_size, split == "train"
        size, how = size if learns else 8 * size, {"seed": training.seed, "epoch": epoch}
        return bucketed_batches(lengths, size, shuffle=learns, **how)

    def batches(epoch: int) -> Batches[dict[str, ClipBatch]]:
        def by_view(rows: np.ndarray) -> dict[str, ClipBatch]:
            draws = np.random.default_rng([training.seed, epoch, *rows])
            return {v: names.collate([train[row].seen(v, draws) for row in rows]) for v in VIEWS}

        return Batches(indices("train", epoch), by_view)

    def judge(network: ClipModel, split: str, view: View, place: float = 0) -> Judged:
        draws, batched = np.random.default_rng(training.seed), indices(split)
        clips = [clip.seen(view, draws, place) for clip in data[split]]
        given = Batches(batched, lambda rows: names.collate([clips[row] for row in rows]))
        found = predictions(network, given, network.predict)
        named = [names.named(f, c.frames) for f, c in zip(found, clips, strict=True)]
        return scores(clips, named), named

    def evaluate(model: SideBySide, split: str) -> Evaluation:
        networks = model.by_name
        metrics, found = judge(networks["all"], split, "all")
        metrics["mean"] = float(np.mean(list(metrics.values())))
        shuffled, _ = judge(networks["shuffled"], split, "shuffled")
        places = np.linspace(0, 1, min(FRAMES, max(len(clip.frames) for clip in data[split])))
        single = [judge(networks["frame"], split, "frame", place)[0] for place in places]
        for name, value in shuffled.items():
            metrics[f"{name}_shuffled"] = value
            metrics[f"{name}_frame"] = max(each[name] for each in single)
        pairs = list(zip(data[split], found, strict=True))
        picture = stacked([strip(*pair) for pair in pairs[:6]])
        lines = ["\t".join(" ".join(clip.caption) for clip in pair) for pair in pairs]
        return Evaluation(
            metrics, files={"frames.png": picture, "captions.tsv": "\n".join(lines)},
            show=lambda tracker: tracker.images("frames", picture),
        )  # fmt: skip

    return Task(
        model=model, optimizer=training.make_optimizer(model), batches=batches,
        evaluate=evaluate, monitor="mean", unit="predictions",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
