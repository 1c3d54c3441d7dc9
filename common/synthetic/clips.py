"""Clips of a moving shape, in which only the order of the frames tells what it does."""

from __future__ import annotations

import math

import numpy as np

from common.data.clips import Clip
from common.synthetic.scenes.drawing import draw
from common.synthetic.scenes.shapes import CORNERS, RGB, Shape

FRAMES = 12

# What changes: its range, its change in a step, and what it is called when it falls and when it rises.
CHANGES = {
    "x": (0.22, 0.78, 0.06, "moves left", "moves right"),
    "y": (0.22, 0.78, 0.06, "moves up", "moves down"),
    "radius": (0.16, 0.34, 0.02, "shrinks", "grows"),
    "rotation": (-50.0, 50.0, 12.0, "turns right", "turns left"),
}
FIRST = (3, 4, 7, 8)  # steps of the first action, of 11: one of the two clearly takes longer
COLOURS: dict[str, RGB] = {
    "red": (225, 30, 40), "green": (40, 190, 60), "blue": (40, 80, 225),
    "yellow": (240, 220, 40), "pink": (240, 90, 190), "cyan": (30, 205, 215),
}  # fmt: skip


class _Wedge(Shape):
    """A triangle of the scenes that is pressed to half of its breadth, so that one sees how it turns."""

    def outline(self) -> list[tuple[float, float]]:
        cos, sin = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        corners = []
        for reach, angle in CORNERS[self.kind]:
            along = self.radius * reach * math.sin(math.radians(angle))
            across = self.radius * reach * math.cos(math.radians(angle)) / 2
            corners.append(
                (self.x + across * cos - along * sin, self.y - across * sin - along * cos)
            )
        return corners


def moving_shapes(count: int, seed: int = 0, size: int = 32) -> list[Clip]:
    """Clips of 12 frames: a wedge does one thing and then another; the longer one is the action.

    What happens in a frame is how it differs from the one before; in the first frame, how the second
    differs from it. The caption is as "a red wedge moves left , then grows".

    A clip is as probable as the same clip backwards, in which the wedge does the opposite of each and
    in the other order. So whoever does not know the order of the frames can be right in at most one
    half of the clips: of all three.

    Args:
        count: how many.
        seed: the same gives the same.
        size: pixels of a side.
    """
    draws = np.random.default_rng(seed)
    return [_clip(draws, size) for _ in range(count)]


def _clip(draws: np.random.Generator, size: int) -> Clip:
    colour = str(draws.choice(list(COLOURS)))
    one, other = (str(name) for name in draws.choice(list(CHANGES), 2, replace=False))
    steps = FRAMES - 1
    first = int(draws.choice(FIRST))
    signs = draws.choice((-1, 1), 2)
    path = {
        name: np.full(FRAMES, draws.uniform(low, high)) for name, (low, high, *_) in CHANGES.items()
    }
    for name, sign, begin, end in ((one, signs[0], 0, first), (other, signs[1], first, steps)):
        low, high, step, *_ = CHANGES[name]
        change = step * draws.uniform(0.85, 1.0)
        done = np.arange(FRAMES).clip(begin, end) - begin  # steps of it before each frame
        lowest = draws.uniform(low, high - change * (end - begin))
        path[name] = lowest + change * (done if sign > 0 else end - begin - done)
    did = [
        CHANGES[name][3 if sign < 0 else 4] for name, sign in zip((one, other), signs, strict=True)
    ]
    light, angle, seed = draws.uniform(70, 190), draws.uniform(0, 360), int(draws.integers(1 << 31))
    grey: tuple[RGB, RGB] = tuple((int(v),) * 3 for v in (light, light + draws.uniform(-40, 40)))  # type: ignore[assignment]
    frames = [
        np.asarray(
            draw([_Wedge(colour, "triangle", "", *state, COLOURS[colour])], grey, angle, seed, size)
        )
        for state in zip(*(path[name].tolist() for name in CHANGES), strict=True)
    ]
    events = [did[0]] * (first + 1) + [did[1]] * (steps - first)
    caption = f"a {colour} wedge {did[0]} , then {did[1]}".split()
    return Clip(np.stack(frames), did[0] if 2 * first > steps else did[1], events, caption)
