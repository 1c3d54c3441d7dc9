"""What a scene is: shapes on a background, and all that can truly be said about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from common.synthetic.scenes.captions import write_captions
from common.synthetic.scenes.drawing import draw
from common.synthetic.scenes.language import parse
from common.synthetic.scenes.shapes import COLOURS, KINDS, RGB, SIZES, Shape, rgb

# Never seen in training. No colour and no kind is missing more than once: of a kind that is seen in
# few colours a network learns no more than what it looks like in these.
HELD_OUT = frozenset(
    {("red", "star"), ("orange", "square"), ("purple", "triangle"), ("yellow", "cross")}
)


@dataclass(frozen=True)
class Scene:
    """A picture of one to three shapes, and all that can truly be said about it.

    Args:
        shapes: in no particular order; they do not overlap.
        background: two colours that flow into each other.
        angle: the direction in which they do, in degrees.
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
        """Whether a colour and a kind meet in it that never meet in training."""
        return any((shape.colour, shape.kind) in HELD_OUT for shape in self.shapes)

    def draw(self, size: int = 64) -> Image.Image:
        """The picture, RGB, `size` pixels wide and high; the same at every call."""
        return draw(self.shapes, self.background, self.angle, self.seed, size)

    def captions(self) -> list[str]:
        """Five true captions, each worded in another way; the same at every call."""
        return write_captions(self.shapes, self.seed)

    def is_true(self, caption: str) -> bool:
        """Whether the caption is grammatical and says nothing false about this scene."""
        statement = parse(caption)
        return statement is not None and statement.holds(self.shapes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` makes an equal scene of them."""
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
        except KeyError as error:
            raise ValueError(f"no {error} in it") from None
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a scene: {error}") from None
        for shape in shapes:
            if not (shape.colour in COLOURS and shape.kind in KINDS and shape.size in SIZES):
                raise ValueError(f"no such shape: {shape.size} {shape.colour} {shape.kind}")
            if not all(0 <= share <= 1 for share in (shape.x, shape.y, shape.radius)):
                raise ValueError(f"a {shape.kind} outside of the picture")
        return scene


def true_share(captions: Mapping[str, str], scenes: Mapping[str, Scene]) -> float:
    """The share of captions that are true of their scene, between 0 and 1.

    Args:
        captions: one caption for each id.
        scenes: the scenes of these ids, and perhaps others.

    Raises:
        ValueError: there is no caption, or a caption has no scene.
    """
    if not captions:
        raise ValueError("no captions to check")
    if missing := [name for name in captions if name not in scenes]:
        raise ValueError(f"{len(missing)} captions have no scene, the first is {missing[0]!r}")
    return sum(scenes[name].is_true(caption) for name, caption in captions.items()) / len(captions)
