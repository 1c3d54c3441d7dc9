"""What happens in a video clip: the action, every frame, and a caption, by one recurrent network.

Many to one, many to many, and sequence to sequence: a small convolutional network reads each frame, a
recurrent one reads them in order, and three heads share what it hands on. Without data, clips are made
in which a shape does one thing and then another: the action is what takes longer. Only the order of the
frames tells the direction, and two networks that are trained beside show it: one sees a single frame
(`_frame`: of the best place in the clip), one the frames in random order (`_shuffled`). Expect more
than 0.95, and less than 0.6 of these.
The data are a folder for each class, in it a folder for each clip with its frames, as
walk/one/001.png; what is to be found in every frame, and to be written, is then the class itself.

    python -m experiments.video train
    python -m experiments.video train --data DIR --size 64
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image

from common.cli.experiment import experiment
from common.config import BASIC, MAY_CHANGE, Bounds, DropoutRate, Folder, Positive, Size
from common.data.batching import Batches, bucketed_batches
from common.data.clips import Clip, read_clips
from common.data.splits import named_split
from common.decoding import RecurrentDecoder
from common.errors import UserError
from common.evaluation.pictures import contact_sheet, png, stacked
from common.models import ClipBatch, ClipEncoder, ClipModel, SideBySide
from common.recurrent.names import StandardCell
from common.runs import Kept
from common.synthetic.clips import moving_shapes
from common.text import Labels, Vocabulary
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions, predictions

VIEWS = "all", "shuffled", "frame"  # what each network sees of a clip
PLACES = np.linspace(0, 1, 12)  # of a single frame in its clip: where a network is given one alone


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn what happens in clips."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/video")
    """Folder for all that the run writes."""
    data: Annotated[Folder | None, BASIC, MAY_CHANGE] = None
    """Folder of clips, DIR/CLASS/CLIP/FRAME.png; moving shapes are made by default."""
    clips: Annotated[Positive, BASIC] = 2000
    """Clips to learn from, where they are made."""
    size: Annotated[int, BASIC, Bounds(8, 1024)] = 32
    """Pixels of a side of a frame, a multiple of 8; others are resized to it."""
    cell: Annotated[StandardCell, BASIC] = "gru"
    """Recurrent cell of the network that reads the frames."""
    hidden_size: Annotated[Size, BASIC] = 64
    """Features of a hidden state in each direction."""
    dropout: DropoutRate = 0.1
    """Probability with which features are dropped while training."""
    training: TrainingOptions = TrainingOptions(
        epochs=12, batch_size=32, learning_rate=3e-3, schedule="cosine", patience=0
    )

    def check(self) -> None:
        super().check()
        if self.size % 8:
            raise UserError(f"--size {self.size} is no multiple of 8.")


def seen(clip: Clip, view: str, draws: np.random.Generator, place: float | None = None) -> Clip:
    """What a network sees of a clip: all, a single frame, or the frames in random order."""
    if view == "shuffled":
        return clip.arranged(draws.permutation(len(clip.frames)))
    if view == "frame":
        place = draws.random() if place is None else place
        return clip.arranged([round(place * (len(clip.frames) - 1))])
    return clip


def scores(clips: Sequence[Clip], found: Sequence[Clip]) -> dict[str, float]:
    """The fractions of actions, of events and of whole captions that are right."""
    pairs = list(zip(clips, found, strict=True))
    right = {
        "action": [c.action == f.action for c, f in pairs],
        "events": [a == b for c, f in pairs for a, b in zip(c.events, f.events, strict=True)],
        "caption": [list(c.caption) == list(f.caption) for c, f in pairs],
    }
    return {name: float(np.mean(each)) for name, each in right.items()}


def strips(clips: Sequence[Clip], found: Sequence[Clip]) -> Image.Image:
    """Up to 12 frames of each clip with what was predicted, and what is true where it differs."""
    rows = []
    for clip, each in zip(clips, found, strict=False):
        places = np.unique((PLACES * (len(clip.frames) - 1)).round().astype(int))
        texts = ["" if a == b else f" (is: {a})" for a, b in zip(clip.events, each.events, strict=True)]
        title = f"{each.action}: {' '.join(each.caption)}"
        pictures = [Image.new("RGB", (72, 72), "white"), *map(Image.fromarray, clip.frames[places])]
        texts = [title, *(each.events[p] + texts[p] for p in places)]
        rows.append(contact_sheet(pictures, texts, columns=13, tile=84))
    return stacked(rows)


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how they are judged."""
    training, size = options.training, options.hidden_size
    if options.data is None:
        made = {"train": options.clips, "val": max(40, options.clips // 5)}
        data = {s: moving_shapes(n, seed, options.size) for seed, (s, n) in enumerate(made.items())}
    else:
        data = read_clips(options.data, options.size, training.seed)
    train, _ = (named_split(data, split, options.data, "clip") for split in ("train", "val"))
    actions = kept.get("actions.json", Labels, lambda: Labels.of(c.action for c in train))
    events = kept.get("events.json", Labels, lambda: Labels.of(e for c in train for e in c.events))
    words = kept.get("words.json", Vocabulary, lambda: Vocabulary.build(c.caption for c in train))

    def network() -> ClipModel:
        encoder = ClipEncoder(
            64, size, cell=options.cell, dropout=options.dropout
        )
        decoder = RecurrentDecoder(
            len(words), 32, size, encoder.context_size, memory_size=encoder.context_size,
            inject=("init",), attention="additive",
        )  # fmt: skip
        return ClipModel(encoder, decoder, len(actions), len(events))

    model = kept.build_model(lambda: SideBySide({view: network() for view in VIEWS})).to(device)

    def collate(clips: Sequence[Clip]) -> ClipBatch:
        return ClipBatch.collate(
            [clip.frames for clip in clips], actions.encode(clip.action for clip in clips),
            [events.encode(clip.events) for clip in clips],
            [words.encode(clip.caption) for clip in clips],
        )  # fmt: skip

    def indices(split: str, epoch: int = 0) -> list[np.ndarray]:
        lengths = [len(clip.frames) for clip in named_split(data, split, options.data, "clip")]
        how = {"seed": training.seed, "epoch": epoch}
        return bucketed_batches(lengths, training.batch_size, shuffle=split == "train", **how)

    def batches(epoch: int) -> Batches[dict[str, ClipBatch]]:
        def by_view(rows: np.ndarray) -> dict[str, ClipBatch]:
            draws = np.random.default_rng([training.seed, epoch, *rows])
            return {v: collate([seen(train[row], v, draws) for row in rows]) for v in VIEWS}

        return Batches(indices("train", epoch), by_view)

    def described(network: ClipModel, split: str, clips: Sequence[Clip]) -> list[Clip]:
        """The clips with what a network finds in them."""
        given = Batches(indices(split), lambda rows: collate([clips[row] for row in rows]))
        found = predictions(network, given, network.predict)
        return [
            Clip(clip.frames, actions.names[int(each.action)], events.decode(each.events.tolist()),
                 words.decode(each.caption)) for clip, each in zip(clips, found, strict=True)
        ]  # fmt: skip

    def evaluate(model: SideBySide, split: str) -> Evaluation:
        indices(split)
        networks, draws = model.by_name, np.random.default_rng(training.seed)
        shuffled = [seen(clip, "shuffled", draws) for clip in data[split]]
        single = [[seen(clip, "frame", draws, place) for clip in data[split]] for place in PLACES]
        found = described(networks["all"], split, data[split])
        metrics = scores(data[split], found)
        controls = {"shuffled": scores(shuffled, described(networks["shuffled"], split, shuffled))}
        each = [scores(clips, described(networks["frame"], split, clips)) for clips in single]
        controls["frame"] = {name: max(one[name] for one in each) for name in metrics}
        for view, reached in controls.items():
            metrics |= {f"{name}_{view}": value for name, value in reached.items()}
        picture = strips(data[split][:6], found)

        def show(tracker: Tracker) -> None:
            tracker.images("predicted in each frame", picture)

        metrics["mean"] = float(np.mean([metrics[name] for name in ("action", "events", "caption")]))
        lines = [f"{' '.join(c.caption)}\t{' '.join(f.caption)}" for c, f in zip(data[split], found)]
        files = {"frames.png": png(picture), "captions.tsv": "\n".join(lines)}
        return Evaluation(metrics, files=files, show=show)

    return Task(
        model=model, optimizer=training.make_optimizer(model), batches=batches,
        evaluate=evaluate, monitor="mean", unit="clips",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
