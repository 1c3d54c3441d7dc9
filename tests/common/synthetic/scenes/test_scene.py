"""Scenes: all that is true of them, and nothing else; the same after a detour through JSON."""

from __future__ import annotations

import json

import pytest

from common.synthetic.scenes import SPLITS, Scene, generate, true_fraction
from tests.common.synthetic.scenes.examples import (
    RED_STAR_AND_BLUE_SQUARE,
    THREE,
    TWO_DISCS,
    scenes,
)


@pytest.mark.parametrize("split", SPLITS)
def test_json_gives_back_an_equal_scene(split: str):
    for made in scenes(30, split):
        again = Scene.from_dict(json.loads(json.dumps(made.to_dict())))
        assert again == made and again.captions() == made.captions()
        assert again.draw().tobytes() == made.draw().tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"shapes": None},
        {"shapes": []},
        {"shapes": [{}]},
        {"shapes": 7},
        {"background": [[1, 2], [3, 4]]},
        {"angle": "steep"},
        {"seed": None},
        {"seed": float("inf")},
        {"angle": float("inf")},
        {"angle": 10**400},
        {"background": [[1, 2, float("inf")], [3, 4, 5]]},
        {"background": [[[1], 2, 3], [3, 4, 5]]},
    ],
)
def test_what_is_no_scene_is_refused(change: dict):
    values = generate(0, 0).to_dict()
    with pytest.raises(ValueError):
        Scene.from_dict({**values, **change})
    with pytest.raises(ValueError):
        Scene.from_dict({key: value for key, value in values.items() if key not in change})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "hexagon"}, {"kind": ["star"]}, {"x": 1.5}, {"x": [0.5]}, {"y": {}}, {"y": 10**400},
        {"radius": float("nan")}, {"rgb": 3}, {"rgb": [1, 2, float("inf")]}, {"rotation": [1]},
        {"rotation": float("inf")}, {"rotation": "1"}, {"rotation": 10**400},
    ],
)  # fmt: skip
def test_what_is_no_shape_is_refused(change: dict):
    values = generate(0, 0).to_dict()
    with pytest.raises(ValueError):
        Scene.from_dict({**values, "shapes": [{**values["shapes"][0], **change}]})


def test_the_share_of_true_captions():
    there = {"a": RED_STAR_AND_BLUE_SQUARE, "b": TWO_DISCS, "c": THREE}
    assert true_fraction({"a": "a red star", "b": "two orange discs"}, there) == 1
    assert true_fraction({"a": "a red star", "b": "a red star", "c": ""}, there) == pytest.approx(
        1 / 3
    )
    with pytest.raises(ValueError, match="'d'"):
        true_fraction({"d": "a red star"}, there)
    with pytest.raises(ValueError):
        true_fraction({}, there)
