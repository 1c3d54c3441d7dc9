"""The picture is lit where the weight is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from common.evaluation.overlay import attention_overlay
from common.evaluation.sheet import FRAME, MARGIN, RED
from tests.common.evaluation.drawn import GREEN, pixels, plain, where


def tiles_of(sheet: Image.Image, count: int, columns: int, tile: int) -> list[np.ndarray]:
    """The pictures of an overlay without the words below them. Each (tile, tile, 3)."""
    rows = -(-count // columns)
    high = (sheet.height - MARGIN) // rows
    found = []
    for k in range(count):
        x, y = MARGIN + (k % columns) * (tile + MARGIN), MARGIN + (k // columns) * high
        found.append(pixels(sheet)[y : y + tile, x : x + tile])
    return found


@pytest.mark.parametrize("grid", [(7, 7), (4, 6), (1, 3), (14, 14)])
def test_the_picture_is_lit_where_the_weight_is(grid: tuple[int, int]):
    rng = np.random.default_rng(0)
    regions = grid[0] * grid[1]
    spots = rng.choice(regions, size=min(3, regions), replace=False)
    weights = np.full((3, regions), 0.1 / regions)
    weights[np.arange(3), spots] += 0.9
    sheet = attention_overlay(plain(), ["a", "b", "c"], weights, grid, columns=2, tile=112)
    first, *lit = tiles_of(sheet, 4, 2, 112)
    assert (np.abs(first - GREEN) <= 1).all()
    for spot, picture in zip(spots, lit, strict=True):
        bright = picture.sum(axis=2)
        row, column = np.unravel_index(bright.argmax(), bright.shape)
        where_lit = row * grid[0] // 112, column * grid[1] // 112
        assert where_lit == (spot // grid[1], spot % grid[1])
        away = np.ones(bright.shape, bool)
        high, wide = 112 // grid[0] + 1, 112 // grid[1] + 1
        away[
            max(0, row - 2 * high) : row + 2 * high, max(0, column - 2 * wide) : column + 2 * wide
        ] = 0
        if away.any():
            assert bright[away].max() < 0.6 * bright.max()


@pytest.mark.parametrize(
    ("regions", "first"), [(slice(1, None), 1), (slice(0, 6), 0), (slice(2, -1), 2)]
)
def test_positions_that_are_no_region_are_not_shown(regions: slice, first: int):
    """A token for the whole image, or several at the end, however much a word looks at it."""
    count = {1: 7, 0: 8, 2: 9}[first]
    weights = np.full((1, count), 0.8)
    weights[0, regions] = 0.01
    weights[0, first + 4] = 0.1  # the middle of the second row
    sheet = attention_overlay(plain(), ["a"], weights, (2, 3), regions=regions, tile=112)
    alone = attention_overlay(plain(), ["a"], weights[:, regions], (2, 3), tile=112)
    assert np.array_equal(pixels(sheet), pixels(alone))
    bright = tiles_of(sheet, 2, 2, 112)[1].sum(axis=2)
    row, column = np.unravel_index(bright.argmax(), bright.shape)
    assert (row * 2 // 112, column * 3 // 112) == (1, 1)
    with pytest.raises(ValueError, match="weights"):
        attention_overlay(plain(), ["a"], weights, (2, 3), tile=112)


def test_light_is_smooth_and_grows_with_the_weight():
    weights = np.linspace(0, 1, 8)[None] / 4
    sheet = attention_overlay(plain(80, 80), ["a"], weights, (1, 8), tile=80)
    row = tiles_of(sheet, 2, 2, 80)[1][40].sum(axis=1)
    assert (np.diff(row) >= -2).all() and row[-1] > 1.5 * row[0]
    assert np.abs(np.diff(row)).max() < 0.1 * (row[-1] - row[0])


def test_looking_everywhere_alike_is_dim_everywhere():
    even, one = np.full(49, 1 / 49), np.eye(49)[24]
    sheet = attention_overlay(plain(), ["a", "b"], [even, one], tile=70)
    _, dim, lit = tiles_of(sheet, 3, 3, 70)
    assert dim.max(axis=(0, 1)).sum() < 0.75 * lit.max(axis=(0, 1)).sum()
    assert np.ptp(dim, axis=(0, 1)).max() <= 1


def test_attention_keeps_the_proportions_of_the_image():
    sheet = attention_overlay(plain(200, 100), ["a"], np.ones((1, 6)) / 6, (2, 3), tile=90)
    left, top, right, bottom = where(sheet, GREEN)
    assert (right - left, bottom - top) == (90, 45)


def test_words_of_any_length_and_no_weight_at_all_are_shown():
    words = ["w" * 500, "", "$x^2$", "naïve ☃"]
    sheet = attention_overlay(plain(), words, np.zeros((4, 49)), tile=60)
    assert (sheet.width - MARGIN) % (60 + MARGIN) == 0


@pytest.mark.parametrize("count", [1, 2, 8, 12, 30, 200])
def test_by_default_a_picture_is_wider_than_high_and_as_wide_as_a_card(count):
    sheet = attention_overlay(plain(), ["word"] * count, np.ones((count, 4)), (2, 2))
    assert sheet.height < 1.25 * sheet.width
    assert sheet.width <= 780 or count > 40
    assert max(sheet.size) < 2500


def test_the_caption_stands_above_and_the_frame_says_whether_it_is_true():
    alone = attention_overlay(plain(), ["a", "dog"], np.ones((2, 4)), (2, 2))
    headed = attention_overlay(
        plain(), ["a", "dog"], np.ones((2, 4)), (2, 2),
        heading={"caption": "a dog", "reference": "a cat"}, true=False,
    )  # fmt: skip
    assert headed.height > alone.height + 60
    assert where(headed, RED)[0] == MARGIN - FRAME


@pytest.mark.parametrize(
    ("words", "weights", "grid"),
    [
        (["a"], np.ones((1, 48)), (7, 7)),
        (["a", "b"], np.ones((1, 49)), (7, 7)),
        (["a"], np.ones(49), (7, 7)),
        ([], np.ones((0, 49)), (7, 7)),
        (["a"], np.ones((1, 0)), (0, 7)),
        (["a"], np.full((1, 49), np.nan), (7, 7)),
        (["a"], np.full((1, 49), -0.1), (7, 7)),
    ],
)
def test_weights_that_do_not_fit_are_refused(words, weights, grid):
    with pytest.raises(ValueError, match="weights"):
        attention_overlay(plain(), words, weights, grid)
