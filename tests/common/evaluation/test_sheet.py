"""Contact sheets: laid out as promised, framed by what is known, legible."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from common.evaluation.fonts import Fonts
from common.evaluation.pages import PAPER
from common.evaluation.sheet import (
    FRAME,
    GREEN as RIGHT,
    MARGIN,
    RED as WRONG,
    Cell,
    contact_sheet,
    contact_sheets,
    film_strip,
    grid_for,
)
from tests.common.evaluation.drawn import GREEN, pixels, plain, where


@pytest.mark.parametrize(
    ("count", "columns", "across", "down"), [(1, 4, 1, 1), (4, 4, 4, 1), (5, 4, 4, 2), (3, 1, 1, 3)]
)
def test_a_sheet_has_as_many_columns_and_rows_as_it_needs(count, columns, across, down):
    sheet = contact_sheet([Cell(plain(), "a")] * count, columns=columns, tile=100)
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
    sheet = contact_sheet([Cell(plain(*size), "")], tile=80)
    left, top, right, bottom = where(sheet, GREEN)
    assert (right - left, bottom - top) == shown


def test_pictures_of_a_row_stand_on_their_captions():
    cells = [Cell(plain(80, 40), ""), Cell(plain(80, 80, (200, 40, 60)), "")]
    sheet = contact_sheet(cells, tile=80)
    assert where(sheet, GREEN)[3] == where(sheet, (200, 40, 60))[3]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "F"])
@pytest.mark.parametrize("side", [20, 2000])
def test_images_of_every_mode_are_shown(mode: str, side: int):
    grey = Image.new("RGB", (side, side), (255, 255, 255)).convert(mode)
    sheet = contact_sheet([Cell(grey, ""), Cell(plain(), "")], tile=50)
    assert (np.abs(pixels(sheet)[MARGIN : MARGIN + 50, MARGIN : MARGIN + 50] - 255) <= 3).all()


def test_transparency_is_white_and_the_image_is_left_as_it_is():
    image = Image.new("RGBA", (900, 900), (255, 0, 0, 0))
    before = image.tobytes()
    sheet = contact_sheet([Cell(image, "a")], tile=50)
    assert tuple(pixels(sheet)[30, 30]) == PAPER
    assert image.mode == "RGBA" and image.tobytes() == before


@pytest.mark.parametrize("options", [{"columns": 0}, {"tile": 2}])
def test_impossible_layouts_are_refused(options):
    with pytest.raises(ValueError):
        contact_sheet([Cell(plain(), "a")], **options)
    with pytest.raises(ValueError, match="no pictures"):
        contact_sheet([])


# --- right and wrong


def band_of(sheet: Image.Image, colour: tuple) -> np.ndarray:
    """Where white is written on the frame of the only picture of a sheet."""
    left, top, right, bottom = where(sheet, colour)
    assert (left, right) == (MARGIN - FRAME, sheet.width - MARGIN + FRAME)
    assert (pixels(sheet)[top : top + FRAME, left:right] == colour).all()
    below = where(sheet, GREEN)[3]
    return (pixels(sheet)[below:bottom, left:right] == 255).all(axis=2)


def test_a_caption_is_framed_by_whether_it_is_true_and_words_say_so_too():
    """Not everybody tells the colours apart."""
    right = band_of(contact_sheet([Cell(plain(), "a", true=True)], tile=100), RIGHT)
    wrong = band_of(contact_sheet([Cell(plain(), "a", true=False)], tile=100), WRONG)
    assert right.any() and wrong.any()
    assert right.shape == wrong.shape and (right != wrong).any()
    unknown = pixels(contact_sheet([Cell(plain(), "a")], tile=100))
    assert not any((np.abs(unknown - colour).max(axis=2) <= 3).any() for colour in (RIGHT, WRONG))


@pytest.mark.parametrize(("true", "shown"), [(True, False), (False, True), (None, True)])
def test_the_reference_is_below_a_caption_unless_it_is_true(true, shown):
    alone = contact_sheet([Cell(plain(), "a red star", "", true)], tile=200)
    both = contact_sheet([Cell(plain(), "a red star", "a blue box", true)], tile=200)
    assert (both.height > alone.height) is shown
    end = alone.height - MARGIN
    assert np.array_equal(pixels(both)[:end], pixels(alone)[:end])


def test_framed_and_plain_pictures_stand_side_by_side():
    colours = [(200, 40, 200), (40, 40, 200), GREEN]
    cells = [Cell(plain(colour=c), "a", true=t) for c, t in zip(colours, (True, False, None))]  # noqa: B905
    sheet = contact_sheet(cells, tile=80)
    lefts = [where(sheet, colour)[0] for colour in colours]
    assert lefts == [MARGIN + column * (80 + MARGIN) for column in range(3)]


def test_texts_above_a_sheet_are_beside_what_they_are():
    cells = [Cell(plain(), "a")] * 3
    sheet = contact_sheet(cells, tile=60)
    headed = contact_sheet(cells, tile=60, heading={"caption": "a dog " * 20, "reference": "a cat"})
    assert headed.height > sheet.height + 100 and headed.width > sheet.width
    left, top, _, _ = where(headed, GREEN)
    assert top > 100 and left == MARGIN
    assert (pixels(headed)[: top - MARGIN] < 200).any()


# --- letters


def test_a_note_says_what_is_transliterated():
    """Without a font; with one, there is none (test_fonts.py)."""
    korean = contact_sheet([Cell(plain(), "개를 먹었다.")], fonts=Fonts())
    spelt = contact_sheet([Cell(plain(), "gaereul meogeossda.")], fonts=Fonts())
    end = spelt.height - MARGIN
    assert np.array_equal(pixels(korean)[:end], pixels(spelt)[:end])
    assert (pixels(korean)[end:] < 200).any() and (pixels(spelt)[end:] == 255).all()
    more = Cell(plain(), "a", "개를 먹었다.")
    assert contact_sheet([more], fonts=Fonts()).height > korean.height  # in a reference, too
    heading = {"caption": "개를 먹었다."}
    headed = contact_sheet([Cell(plain(), "a")], heading=heading, fonts=Fonts())
    latin = contact_sheet([Cell(plain(), "a")], heading={"caption": "gaereul"}, fonts=Fonts())
    assert headed.height > latin.height


# --- pages


@pytest.mark.parametrize("count", [1, 2, 5, 100, 1000])
def test_a_sheet_of_any_number_of_pictures_has_pages_of_a_size_that_can_be_looked_at(count):
    grid = grid_for(count, 80)
    pictures = plain(8, 8), "a dog and a cat", "two animals"
    sheets = list(contact_sheets((Cell(*pictures) for _ in range(count)), **grid))
    assert all(max(sheet.size) <= 4000 for sheet in sheets)
    assert {sheet.width for sheet in sheets} == {sheets[0].width}
    shown = sum((np.abs(pixels(sheet) - GREEN).max(axis=2) <= 3).sum() for sheet in sheets)
    assert shown == count * grid["tile"] ** 2
    assert len(sheets) == 1 or min(sheet.height for sheet in sheets[:-1]) > 3500


def test_few_pictures_are_large():
    tiles = [grid_for(count)["tile"] for count in (1, 2, 5, 12, 1000)]
    assert tiles == sorted(tiles, reverse=True) and tiles[0] == 480
    assert grid_for(1)["columns"] == 1 and grid_for(12)["columns"] == 4


def test_a_page_is_drawn_before_the_next_pictures_are_read():
    read = []

    def cells():
        for number in range(40):
            read.append(number)
            yield Cell(plain(), "a")

    sheets = contact_sheets(cells(), columns=2, tile=100, tallest=500)
    first = next(sheets)
    assert first.height <= 500 and len(read) <= 10
    assert len(list(sheets)) > 3 and len(read) == 40


# --- clips


def test_the_frames_of_a_clip_are_in_a_row():
    strip = film_strip([plain(40, 40)] * 3, ["up", "up", "down"], "a square moves", tile=60)
    assert strip.width == MARGIN + 4 * (60 + MARGIN) and strip.height < 2 * 60 + 60
    pixels = np.asarray(strip)
    assert (pixels[20:60, 20:70] == 255).all() and (pixels[20:60, 100:140] != 255).any()
