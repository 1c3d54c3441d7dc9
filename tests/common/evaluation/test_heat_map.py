"""Tables of weights: darker where there is more, with all their words."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from common.evaluation.fonts import Fonts
from common.evaluation.heat_map import heat_map
from common.evaluation.lettering import INK
from common.evaluation.sheet import MARGIN
from tests.common.evaluation.drawn import pixels


def cells_of(picture: Image.Image, rows: int, columns: int) -> np.ndarray:
    """The colour in the middle of each cell: (rows, columns, 3)."""
    frame = (pixels(picture) == INK).all(axis=2)
    top, bottom = np.flatnonzero(frame.sum(axis=1) > 20 * columns)[[0, -1]]
    left, right = np.flatnonzero(frame.sum(axis=0) > 20 * rows)[[0, -1]]
    y = np.linspace(top, bottom, 2 * rows + 1)[1::2].round().astype(int)
    x = np.linspace(left, right, 2 * columns + 1)[1::2].round().astype(int)
    return pixels(picture)[np.ix_(y, x)]


def test_darker_cells_have_more_weight():
    rng = np.random.default_rng(1)
    weights = rng.random((6, 9))
    picture = heat_map(weights, [f"t{k}" for k in range(6)], [f"s{k}" for k in range(9)])
    darkness = -cells_of(picture, 6, 9).sum(axis=2)
    order = np.argsort(weights, axis=None)
    assert (np.diff(darkness.ravel()[order]) >= 0).all()
    assert np.unravel_index(darkness.argmax(), (6, 9)) == np.unravel_index(weights.argmax(), (6, 9))


def test_all_labels_stay_inside_the_picture():
    words = ["W" * 40, "a", "\n", "$_{x}$", "w" * 400]
    picture = heat_map(np.ones((5, 5)), words, words)
    border = np.concatenate(
        [
            pixels(picture)[edge].reshape(-1, 3)
            for edge in (np.s_[:4], np.s_[-4:], np.s_[:, :4], np.s_[:, -4:])
        ]
    )
    assert (border == 255).all()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 300), (300, 1), (400, 600)])
def test_tables_of_any_size_stay_small_enough_to_look_at(rows: int, columns: int):
    labels = [f"token{k}" for k in range(max(rows, columns))]
    weights = np.ones((rows, columns))
    picture = heat_map(weights, labels[:rows], labels[:columns])
    assert max(picture.size) < 3000


def test_no_weight_at_all_is_a_pale_table():
    picture = heat_map(np.zeros((2, 2)), ["a", "b"], ["c", "d"])
    assert cells_of(picture, 2, 2).min() > 240


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((2, 3), 3, 2), ((2, 3), 2, 2), ((0, 3), 0, 3), ((6,), 2, 3)]
)
def test_tables_that_do_not_fit_are_refused(shape, rows, columns):
    with pytest.raises(ValueError, match="weights"):
        heat_map(np.ones(shape), ["a"] * rows, ["b"] * columns)


@pytest.mark.parametrize("text", ["ein hund rennt", "a dog runs " * 30, "개를 먹었다", "שלום"])
def test_the_sentences_stand_above_the_table(text):
    words = ["a", "b", "c"]
    alone = heat_map(np.eye(3), words, words, fonts=Fonts())
    heading = {"source": text, "translation": "a b c", "reference": "a b c"}
    picture = heat_map(np.eye(3), words, words, heading=heading, fonts=Fonts())
    assert picture.height > alone.height + 3 * 20
    assert (pixels(picture)[:4] == 255).all() and (pixels(picture)[:, -4:] == 255).all()


def test_a_note_says_that_words_are_transliterated():
    korean = heat_map(np.eye(2), ["개를", "."], ["dog", "."], fonts=Fonts())
    spelt = heat_map(np.eye(2), ["gaereul", "."], ["dog", "."], fonts=Fonts())
    end = spelt.height - MARGIN
    assert np.array_equal(pixels(korean)[:end, : spelt.width], pixels(spelt)[:end])
    assert (pixels(korean)[end:] < 200).any()


def test_labels_in_letters_that_the_font_lacks_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heat_map(np.eye(2), ["개를", "\U0001f415"], ["", "a\tb"])
