"""Fonts: the one that has the letters is found, and without one they are spelt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.font_manager import findSystemFonts
from PIL import Image

from common.evaluation import fonts
from common.evaluation.fonts import FONT, Fonts, footnote, in_order, system_fonts
from common.evaluation.lettering import Letters
from common.evaluation.sheet import Cell, contact_sheet

KOREAN = "개를 먹었다."


@pytest.fixture(scope="module")
def hangul() -> Path:
    """A font of this machine with Hangul."""
    for file in in_order(findSystemFonts()):
        if not Fonts([file]).lacking(KOREAN):
            return file
    pytest.skip("no font with Hangul is installed here (Debian: fonts-nanum, fonts-noto-cjk)")


def ink(text: str, fonts: Fonts) -> np.ndarray:
    image = Image.new("L", (200, 40), 255)
    Letters(24, fonts).draw(image, (0, 0), text, 0)
    return np.asarray(image) < 128


def test_a_font_is_found_for_letters_that_the_first_one_lacks(hangul):
    found = Fonts([hangul])
    assert found.runs(KOREAN) == [(KOREAN, hangul)]
    assert found.runs("a dog") == [("a dog", FONT)]
    assert found.drawable(f"{KOREAN} a dog ☃ été") == f"{KOREAN} a dog ☃ été"
    assert not found.lacking(KOREAN) and found.in_one(KOREAN) == (KOREAN, hangul)
    assert not system_fonts().lacking(KOREAN)
    # Letters, and not boxes: they differ.
    shapes = [ink(letter, found) for letter in "개를먹"]
    assert all(each.any() for each in shapes)
    assert (shapes[0] != shapes[1]).any() and (shapes[1] != shapes[2]).any()


def test_a_sheet_with_a_font_has_no_note(hangul):
    cell = Cell(Image.new("RGB", (8, 8)), KOREAN)
    with_font, without = (contact_sheet([cell], fonts=Fonts(f)) for f in ([hangul], []))
    assert with_font.height < without.height


def test_a_font_is_tried_where_those_before_it_are_of_no_use(hangul, tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    files = [tmp_path / "missing.ttf", broken, FONT, hangul]
    assert Fonts(files).runs(KOREAN) == [(KOREAN, hangul)]
    assert Fonts(files[:3]).drawable(KOREAN) == "gaereul meogeossda."


def test_letters_of_several_scripts_are_in_parts(hangul):
    text = f"{KOREAN} שלום \U0001f9aa"
    runs = Fonts([hangul]).runs(text)
    assert "".join(part for part, _ in runs) == f"{KOREAN} שלום □"
    assert {file for _, file in runs} == {hangul, FONT}
    assert Fonts([hangul]).lacking(text) == {"some signs"}


def test_letters_without_a_font_are_spelt_by_their_sound():
    found = Fonts()
    assert found.drawable(KOREAN) == "gaereul meogeossda."
    assert found.drawable("\u1100\u1162") == "gae"  # decomposed
    assert found.drawable("ひらがな") == "hiragana"
    assert found.drawable("\U0001f9aa\n") == "\u25a1\n"
    assert found.drawable("\u2764\ufe0f\u200d") == "\u2764\ufe0f\u200d"  # the rest is not seen
    assert found.in_one("개 a") == ("gae a", FONT)
    for text in ("a dog, été, ß", "собака", "ο σκύλος", "שלום", ""):
        assert found.drawable(text) == text and not found.lacking(text)


def test_installed_fonts_are_listed_when_a_text_needs_them_and_once(monkeypatch):
    listed: list[None] = []
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: listed.append(None) or [])
    system_fonts.cache_clear()
    try:
        Letters(12).length("a dog, été, собака")
        assert not listed
        assert Letters(12).fonts.drawable("개") == system_fonts().drawable("개") == "gae"
        assert len(listed) == 1
    finally:
        system_fonts.cache_clear()


def test_a_note_names_the_scripts():
    assert Fonts().lacking(KOREAN) == {"Hangul"}
    assert Fonts().lacking("中文, ひら, \U0001f9aa") == {
        "Chinese characters",
        "Hiragana",
        "some signs",
    }
    assert footnote(Fonts().lacking(KOREAN)).startswith(
        "Hangul is transliterated: no font here has it"
    )
    assert "Chinese characters are boxes" in footnote(Fonts().lacking(f"{KOREAN} 中文"))


def test_plain_fonts_of_many_letters_come_first_and_those_without_letters_are_left_out():
    files = [
        "b/NanumGothicBold.ttf", "a/Fancy-Italic.ttf", "a/LastResort.otf", "a/Fancy.ttf",
        "z/NotoSansCJK-Regular.ttc", "z/NanumGothic.ttf",
    ]  # fmt: skip
    assert [file.name for file in in_order(files)] == [
        "NotoSansCJK-Regular.ttc", "NanumGothic.ttf", "Fancy.ttf", "NanumGothicBold.ttf",
        "Fancy-Italic.ttf",
    ]  # fmt: skip
