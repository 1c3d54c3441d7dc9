"""A scene: shapes on a background, which can be drawn and described, and captions checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from common.errors import one_line
from common.synthetic.scenes.captions import write_captions
from common.synthetic.scenes.drawing import draw
from common.synthetic.scenes.language import parse
from common.synthetic.scenes.shapes import COLOURS, KINDS, RGB, SIZES, Shape, rgb

# Combinations of colour and kind that are absent from training. Each colour and each kind is in at
# most one of them: a network that sees a kind in few colours does not generalise to others.
HELD_OUT = frozenset(
    {("red", "star"), ("orange", "square"), ("purple", "triangle"), ("yellow", "cross")}
)


@dataclass(frozen=True)
class Scene:
    """A picture of one to three shapes.

    Args:
        shapes: in no particular order; they do not overlap.
        background: the two colours of a gradient.
        angle: its direction in degrees.
        seed: of the background's texture and of the wording of `captions`.
    """

    shapes: tuple[Shape, ...]
    background: tuple[RGB, RGB]
    angle: float
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.shapes) <= 3:
            raise ValueError(f"a scene has 1 to 3 shapes, not {len(self.shapes)}")

    @property
    def has_held_out(self) -> bool:
        """Whether a combination of colour and kind is in HELD_OUT."""
        return any((shape.colour, shape.kind) in HELD_OUT for shape in self.shapes)

    def draw(self, size: int = 64) -> Image.Image:
        """The picture, RGB, `size` pixels wide and high; the same at every call."""
        return draw(self.shapes, self.background, self.angle, self.seed, size)

    def captions(self) -> list[str]:
        """Five true captions, each worded in another way; the same at every call."""
        return write_captions(self.shapes, self.seed)

    def is_true(self, caption: str) -> bool:
        """Whether the caption is grammatical and true of this scene."""
        statement = parse(caption)
        return statement is not None and statement.holds(self.shapes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scene:
        """The scene that `to_dict` described.

        Raises:
            ValueError: the values do not describe a scene; the message says why.
        """
        try:
            shapes = tuple(Shape(**{**each, "rgb": rgb(each["rgb"])}) for each in values["shapes"])
            first, second = (rgb(colour) for colour in values["background"])
            scene = cls(shapes, (first, second), float(values["angle"]), int(values["seed"]))
            for shape in shapes:
                if not (shape.colour in COLOURS and shape.kind in KINDS and shape.size in SIZES):
                    raise ValueError(f"no such shape: {shape.size} {shape.colour} {shape.kind}")
                if not all(0 <= value <= 1 for value in (shape.x, shape.y, shape.radius)):
                    raise ValueError(f"a {shape.kind} outside of the picture")
            if not all(map(math.isfinite, [scene.angle, *(shape.rotation for shape in shapes)])):
                raise ValueError("an angle that is not finite")
        except KeyError as error:
            raise ValueError(f"no {error} in it") from None
        except (TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a scene: {one_line(error)}") from None
        return scene


def true_fraction(captions: Mapping[str, str], scenes: Mapping[str, Scene]) -> float:
    """The fraction of captions that are true of their scene.

    Args:
        captions: one caption for each id.
        scenes: the scenes of these ids; others are ignored.

    Raises:
        ValueError: there is no caption, or a caption has no scene.
    """
    if not captions:
        raise ValueError("no captions to check")
    if missing := [name for name in captions if name not in scenes]:
        raise ValueError(f"{len(missing)} captions have no scene, the first is {missing[0]!r}")
    return sum(scenes[name].is_true(caption) for name, caption in captions.items()) / len(captions)
