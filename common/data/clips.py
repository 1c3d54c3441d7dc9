"""Video clips: frames in folders, or made; each with what happens in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from common.data.splits import SeededSplits
from common.errors import UserError, one_line

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
VAL_FRACTION = 0.2

View: TypeAlias = Literal["all", "shuffled", "frame"]
"""What is seen of a clip; see `Clip.seen`."""


class Clip(NamedTuple):
    """A clip with what happens in it.

    Args:
        frames: (T, H, W, 3) uint8.
        action: of the whole clip.
        events: T names, of what happens in each frame.
        caption: words that describe it.
    """

    frames: np.ndarray
    action: str
    events: Sequence[str]
    caption: Sequence[str]

    def seen(self, view: View, draws: np.random.Generator, place: float | None = None) -> Clip:
        """What is left of a clip for those who do not see it in order.

        Args:
            view: "all" of it, a single "frame", or its frames "shuffled", each with its event.
            draws: of the frame, or of the order.
            place: of the single frame, from 0, the first, to 1, the last; drawn by default.
        """
        steps = len(self.frames)
        order = np.arange(steps)
        if view == "shuffled":
            order = draws.permutation(steps)
        elif view == "frame":
            order = order[[round((draws.random() if place is None else place) * (steps - 1))]]
        return self._replace(
            frames=self.frames[order], events=[self.events[int(at)] for at in order]
        )


def read_clips(folder: Path, size: int, seed: int = 0) -> dict[str, list[Clip]]:
    """Read DIR/CLASS/CLIP/FRAME.png: a folder for each class, in it one for each clip with its frames.

    The frames of a clip are in the order of the numbers in their names. The class is the action, what
    happens in every frame, and, word by word, the caption. One clip in five is for validation: which
    ones depends on their names and the seed.

    Args:
        folder: the data.
        size: pixels of a side that every frame is resized to, whole, whatever its shape. All frames
            are held in memory.
        seed: of the splits.

    Returns:
        The clips of the splits "train" and "val".

    Raises:
        UserError: there is no such folder, there are fewer than two classes, a clip has no frame, or
            a frame cannot be read.
    """
    names = _folders(folder) if folder.is_dir() else []
    if len(names) < 2:
        raise UserError(
            f"{folder}: {len(names)} classes. Give a folder with a folder for each class, in each of "
            "them a folder for each clip with its frames: walk/one/001.png."
        )
    found: list[tuple[str, Clip]] = []
    for each in names:
        for path in _folders(each):
            frames = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES]
            if not frames:
                raise UserError(f"{path}: no frame in it (looked for {', '.join(SUFFIXES)}).")
            pixels = np.stack([_read(file, size) for file in sorted(frames, key=_numbers)])
            words = re.findall(r"\w+", each.name.replace("_", " ")) or [each.name]
            clip = Clip(pixels, each.name, [each.name] * len(frames), words)
            found.append((f"{each.name}/{path.name}", clip))
    drawn = SeededSplits(seed, VAL_FRACTION, 0.0)
    splits = [drawn(name) for name, _ in found]
    if drawn.settle():
        splits = [drawn(name) for name, _ in found]
    clips: dict[str, list[Clip]] = {"train": [], "val": []}
    for split, (_, clip) in zip(splits, found, strict=True):
        clips[split].append(clip)
    return clips


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _numbers(path: Path) -> list[tuple[int, str]]:
    """A key by which frame 10 follows frame 9."""
    return [
        (int(part or 0) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", path.name)
    ]


def _read(path: Path, size: int) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BOX))
    except Exception as error:  # damaged bytes make Pillow raise almost anything
        raise UserError(f"{path}: not an image that can be read: {one_line(error)}.") from None
