"""Drawings: of the size, the colours and the forms that the scene says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from common.synthetic.scenes import generate
from common.synthetic.scenes.shapes import KINDS, SIZES
from tests.common.synthetic.scenes.examples import RGB, extent, pixels_of, scene, shape


@pytest.mark.parametrize("size", [1, 17, 64, 300])
def test_pictures_have_the_size_asked_for(size: int):
    picture = generate(0, 1).draw(size)
    assert picture.size == (size, size) and picture.mode == "RGB"


def test_shapes_have_their_colour_their_place_and_soft_edges():
    drawn = scene(shape("large", "red", "circle", 0.3, 0.6))
    box = np.array(extent(pixels_of(drawn, 0, 100)))
    assert np.abs(box - (9, 39, 50, 80)).max() <= 1
    row = np.asarray(drawn.draw(100), np.int16)[60, :, 0]
    assert (row[12:48] == RGB["red"][0]).all()
    assert row[9:12].min() < 60  # the dark line around it
    red = np.asarray(drawn.draw(100))[:, :, 0]
    assert ((red > 135) & (red < 225)).sum() > 40  # between the line and what it surrounds


def test_shapes_of_all_kinds_and_sizes_differ_in_area_by_size_more_than_by_kind():
    areas = {
        (size, kind): pixels_of(scene(shape(size, "red", kind, 0.5, 0.5)), 0).sum()
        for size, kind in itertools.product(SIZES, KINDS)
    }
    for kind in KINDS:
        small, medium, large = (areas[size, kind] for size in SIZES)
        assert 1.5 * small < medium and 1.5 * medium < large
    for size in SIZES:
        same = [areas[size, kind] for kind in KINDS]
        assert max(same) < 2 * min(same)
