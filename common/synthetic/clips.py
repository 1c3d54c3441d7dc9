"""Clips of a moving wedge, in which only the order of the frames tells what it does."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from common.data.clips import Clip
from common.synthetic.scenes.drawing import draw
from common.synthetic.scenes.shapes import CORNERS, RGB, Shape

FRAMES = 12
FIRST = (3, 4, 7, 8)  # steps of the first action, of 11: one of the two clearly takes longer
COLOURS: dict[str, RGB] = {
    "red": (225, 30, 40), "green": (40, 190, 60), "blue": (40, 80, 225),
    "yellow": (240, 220, 40), "pink": (240, 90, 190), "cyan": (30, 205, 215),
}  # fmt: skip


class Change(NamedTuple):
    """Something that changes: its range, how much in a step, and what it is called to fall or rise."""

    low: float
    high: float
    step: float
    falls: str
    rises: str


CHANGES = {
    "x": Change(0.22, 0.78, 0.06, "moves left", "moves right"),
    "y": Change(0.22, 0.78, 0.06, "moves up", "moves down"),
    "radius": Change(0.16, 0.34, 0.02, "shrinks", "grows"),
    "rotation": Change(-50.0, 50.0, 12.0, "turns right", "turns left"),
}


class Wedge(Shape):
    """A triangle of the scenes that is pressed to half of its breadth, so that one sees how it turns."""

    def outline(self) -> list[tuple[float, float]]:
        cos, sin = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        corners = []
        for reach, angle in CORNERS["triangle"]:
            along = self.radius * reach * math.sin(math.radians(angle))
            across = self.radius * reach * math.cos(math.radians(angle)) / 2
            corner = self.x + across * cos - along * sin, self.y - across * sin - along * cos
            corners.append(corner)
        return corners


def moving_shapes(count: int, seed: int = 0, size: int = 32) -> list[Clip]:
    """Clips of 12 frames: a wedge does one thing and then another; the longer one is the action.

    What happens in a frame is how it differs from the one before; in the first frame, how the second
    differs from it. The caption is as "a red wedge moves left , then grows".

    A clip is as probable as the same clip backwards, in which the wedge does the opposite of each and
    in the other order. So whoever does not know the order of the frames is right in one half of the
    clips at most: in the action, the events and the caption alike.

    Args:
        count: how many.
        seed: the same gives the same.
        size: pixels of a side.
    """
    draws = np.random.default_rng(seed)
    return [_clip(draws, size) for _ in range(count)]


def _clip(draws: np.random.Generator, size: int) -> Clip:
    colour = str(draws.choice(list(COLOURS)))
    chosen = [str(name) for name in draws.choice(list(CHANGES), 2, replace=False)]
    first, steps = int(draws.choice(FIRST)), FRAMES - 1
    path = {name: np.full(FRAMES, draws.uniform(*each[:2])) for name, each in CHANGES.items()}
    did = list[str]()
    for name, begin, end in zip(chosen, (0, first), (first, steps), strict=True):
        change, rises = CHANGES[name], draws.random() < 0.5
        step = change.step * draws.uniform(0.85, 1.0)
        done = np.arange(FRAMES).clip(begin, end) - begin  # steps of it before each frame
        lowest = draws.uniform(change.low, change.high - step * (end - begin))
        path[name] = lowest + step * (done if rises else end - begin - done)
        did.append(change.rises if rises else change.falls)
    frames = _drawn(draws, colour, np.stack([path[name] for name in CHANGES], 1), size)
    events = did[:1] * (first + 1) + did[1:] * (steps - first)
    caption = f"a {colour} wedge {did[0]} , then {did[1]}".split()
    return Clip(frames, did[0] if 2 * first > steps else did[1], events, caption)


def _drawn(draws: np.random.Generator, colour: str, states: np.ndarray, size: int) -> np.ndarray:
    """The frames (T, size, size, 3) of a wedge in states (T, 4) before one background."""
    first, second = draws.uniform(70, 190), draws.uniform(-40, 40)
    ground = [(int(light),) * 3 for light in (first, first + second)]
    angle, seed = float(draws.uniform(0, 360)), int(draws.integers(1 << 31))
    wedges = [
        Wedge(colour, "triangle", "", x, y, radius, rotation, COLOURS[colour])
        for x, y, radius, rotation in states.tolist()
    ]
    pictures = [draw([wedge], (ground[0], ground[1]), angle, seed, size) for wedge in wedges]
    return np.stack([np.asarray(picture) for picture in pictures])
