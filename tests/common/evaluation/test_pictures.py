"""Pictures: laid out as promised, lit where the weight is, legible, and without side effects."""

from __future__ import annotations

import warnings

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageFont

from common.evaluation.charts import dot_chart, line_chart, maps_over_training
from common.evaluation.pictures import (
    FONT,
    MARGIN,
    PAPER,
    attention_overlay,
    contact_sheet,
    drawable,
    film_strip,
    heat_map,
    wrapped,
)

GREEN = (40, 160, 60)


def plain(width: int = 64, height: int = 64, colour: tuple = GREEN) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.int16)


def where(image: Image.Image, colour: tuple) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels that are nearly of a colour."""
    near = np.abs(pixels(image) - colour).max(axis=2) <= 3
    columns, rows = np.flatnonzero(near.any(axis=0)), np.flatnonzero(near.any(axis=1))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


# --- contact sheets


@pytest.mark.parametrize(
    ("count", "columns", "across", "down"), [(1, 4, 1, 1), (4, 4, 4, 1), (5, 4, 4, 2), (3, 1, 1, 3)]
)
def test_a_sheet_has_as_many_columns_and_rows_as_it_needs(count, columns, across, down):
    sheet = contact_sheet([plain()] * count, ["a"] * count, columns=columns, tile=100)
    assert sheet.mode == "RGB"
    assert sheet.width == across * (100 + MARGIN) + MARGIN
    left, top, right, _ = where(sheet, GREEN)
    assert (left, top) == (MARGIN, MARGIN)
    assert right == sheet.width - MARGIN
    green = (np.abs(pixels(sheet) - GREEN).max(axis=2) <= 3).sum()
    assert green == count * 100 * 100
    assert sheet.height > down * 100


@pytest.mark.parametrize(
    ("size", "shown"),
    [((1, 1), (80, 80)), ((10, 5), (80, 40)), ((50, 200), (20, 80)), ((5000, 3), (80, 1))],
)
def test_images_keep_their_proportions(size, shown):
    sheet = contact_sheet([plain(*size)], [""], tile=80)
    left, top, right, bottom = where(sheet, GREEN)
    assert (right - left, bottom - top) == shown


def test_pictures_of_a_row_stand_on_their_captions():
    sheet = contact_sheet([plain(80, 40), plain(80, 80, (200, 40, 60))], ["", ""], tile=80)
    assert where(sheet, GREEN)[3] == where(sheet, (200, 40, 60))[3]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "F"])
@pytest.mark.parametrize("side", [20, 2000])
def test_images_of_every_mode_are_shown(mode: str, side: int):
    grey = Image.new("RGB", (side, side), (255, 255, 255)).convert(mode)
    sheet = contact_sheet([grey, plain()], ["", ""], tile=50)
    assert (np.abs(pixels(sheet)[MARGIN : MARGIN + 50, MARGIN : MARGIN + 50] - 255) <= 3).all()


def test_transparency_is_white_and_the_image_is_left_as_it_is():
    image = Image.new("RGBA", (900, 900), (255, 0, 0, 0))
    before = image.tobytes()
    sheet = contact_sheet([image], ["a"], tile=50)
    assert tuple(pixels(sheet)[30, 30]) == PAPER
    assert image.mode == "RGBA" and image.tobytes() == before


def test_images_may_come_one_by_one():
    sheet = contact_sheet((plain() for _ in range(3)), ["a", "b", "c"], tile=50)
    assert sheet.tobytes() == contact_sheet([plain()] * 3, ["a", "b", "c"], tile=50).tobytes()


@pytest.mark.parametrize(("images", "captions"), [(0, 0), (2, 1), (1, 2)])
def test_captions_that_do_not_match_the_images_are_refused(images: int, captions: int):
    with pytest.raises(ValueError):
        contact_sheet([plain()] * images, ["a"] * captions)


@pytest.mark.parametrize("options", [{"columns": 0}, {"tile": 2}])
def test_impossible_layouts_are_refused(options):
    with pytest.raises(ValueError):
        contact_sheet([plain()], ["a"], **options)
    with pytest.raises(ValueError):
        attention_overlay(plain(), ["a"], [[1.0]], (1, 1), **options)


# --- attention


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
    assert sheet.width == 5 * (60 + MARGIN) + MARGIN


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


# --- alignments


def cells_of(picture: Image.Image, rows: int, columns: int) -> np.ndarray:
    """The colour in the middle of each cell: (rows, columns, 3)."""
    black = pixels(picture).max(axis=2) < 10  # the frame of the table
    top, bottom = np.flatnonzero(black.sum(axis=1) > 20 * columns)[[0, -1]]
    left, right = np.flatnonzero(black.sum(axis=0) > 20 * rows)[[0, -1]]
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


def test_labels_in_letters_that_the_font_lacks_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heat_map(np.eye(2), ["개를", "\U0001f415"], ["", "a\tb"])


def test_a_logarithmic_chart_shows_small_values():
    lines = {"vanishes": [10.0**-n for n in range(9)], "is lost": [1.0, 0.0, 0.0]}
    plain, log = (line_chart(lines, "t", "norm", logarithmic=each) for each in (False, True))
    assert plain.size == log.size and (pixels(plain) != pixels(log)).any()


@pytest.mark.parametrize("rows", [1, 5])
def test_maps_over_training(rows: int):
    curves = np.logspace(-60, 10, rows * 7).reshape(rows, 7)
    maps = {"grows": curves, "nothing": np.zeros((rows, 7)), "lost": np.full((rows, 7), np.nan)}
    picture = maps_over_training(maps, list(range(rows)), "time step", "norm")
    assert picture.width > picture.height > 100
    assert maps_over_training({"a": np.zeros((rows, 2))}, list(range(rows)), "t", "n").width > 100
    for wrong in ({}, {"a": curves[:, 0]}, {"a": curves[:0]}, {"a": np.ones((rows + 1, 2))}):
        with pytest.raises(ValueError, match="maps must be"):
            maps_over_training(wrong, list(range(rows)), "t", "n")


def test_nothing_of_matplotlib_is_changed():
    settings = dict(matplotlib.rcParams)
    contact_sheet([plain()], ["a"])
    attention_overlay(plain(), ["a"], np.ones((1, 49)))
    heat_map(np.eye(2), ["a", "b"], ["c", "d"])
    assert dict(matplotlib.rcParams) == settings


# --- text

TEXTS = [
    "",
    "a dog",
    "a brown dog runs along the beach with a red ball in its mouth",
    "Donaudampfschifffahrtsgesellschaftskapitänsmütze " * 2,
    "a" * 300,
    "\n a\tb \n",
    "собака бежит по пляжу, ο σκύλος τρέχει",
]
LETTERS = ImageFont.truetype(str(FONT), 13)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [60, 150])
def test_wrapped_text_is_whole_and_no_line_is_too_wide(text: str, width: int):
    lines = wrapped(text, LETTERS, width, most=1000)
    assert all(LETTERS.getlength(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    if text == TEXTS[2]:
        assert " ".join(lines) == text  # words are kept whole where they fit


@pytest.mark.parametrize("text", ["word " * 500, "w" * 5000])
def test_text_without_end_is_cut_with_a_mark(text: str):
    lines = wrapped(text, LETTERS, 100, most=3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(LETTERS.getlength(line) <= 100 for line in lines)


def test_letters_that_the_font_lacks_are_spelt_by_their_sound():
    assert drawable("개를 먹었다.") == "gaereul meogeossda."
    assert drawable("\u1100\u1162") == "gae"  # decomposed
    assert drawable("ひらがな") == "hiragana"
    assert drawable("\U0001f9aa\n") == "\u25a1\n"
    for text in ("a dog, été, ß", "собака", "ο σκύλος"):
        assert drawable(text) == text


def test_a_dot_chart_has_a_panel_for_each_title_and_a_row_for_each_name():
    dots = {"LSTM": (0.9, 0.01), "GRU": (0.8, 0.02), "minGRU": (0.4, 0.0)}
    one = dot_chart({"sum": dots}, "accuracy", {"sum": 0.2})
    two = dot_chart({"sum": dots, "text": dots}, "accuracy", {"sum": 0.2, "text": 0.3})
    assert two.width > one.width and two.height == one.height
    few = dot_chart({"sum": {"LSTM": (0.9, 0.01)}}, "accuracy", {"sum": 0.2})
    assert few.height < one.height and (pixels(few) != 255).any()


def test_the_frames_of_a_clip_are_in_a_row():
    strip = film_strip([plain(40, 40)] * 3, ["up", "up", "down"], "a square moves", tile=60)
    assert strip.width == 16 + 4 * (60 + 16) and strip.height < 2 * 60 + 60
    pixels = np.asarray(strip)
    assert (pixels[20:60, 20:70] == 255).all() and (pixels[20:60, 100:140] != 255).any()
