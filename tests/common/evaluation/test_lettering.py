"""Text in pictures: whole where it fits, cut as late as possible where it does not."""

from __future__ import annotations

import pytest

from common.evaluation.lettering import drawable, fit_line, font_of, wrapped

TEXTS = [
    "",
    "a dog",
    "a brown dog runs along the beach with a red ball in its mouth",
    "Donaudampfschifffahrtsgesellschaftskapitänsmütze " * 2,
    "a" * 300,
    "\n a\tb \n",
    "собака бежит по пляжу, ο σκύλος τρέχει",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [60, 150])
def test_wrapped_text_is_whole_and_no_line_is_too_wide(text: str, width: int):
    font = font_of(13)
    lines = wrapped(text, font, width, most=1000)
    assert all(font.getlength(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_words_are_kept_whole_where_they_fit():
    font = font_of(13)
    text = TEXTS[2]
    lines = wrapped(text, font, 150)
    assert " ".join(lines) == text
    # No line could have taken the first word of the next one.
    for line, following in zip(lines, lines[1:], strict=False):
        assert font.getlength(f"{line} {following.split()[0]}") > 150


@pytest.mark.parametrize("text", ["word " * 500, "w" * 5000])
def test_text_without_end_is_cut_with_a_mark(text: str):
    font = font_of(13)
    lines = wrapped(text, font, 100, most=3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(font.getlength(line) <= 100 for line in lines)


def test_a_line_is_cut_as_late_as_possible():
    font = font_of(13)
    cut = fit_line("abcdefghijklmnopqrstuvwxyz", font, 80)
    kept = cut.removesuffix("…")
    assert "abcdefghijklmnopqrstuvwxyz".startswith(kept) and len(kept) < 26
    assert font.getlength(cut) <= 80
    longer = "abcdefghijklmnopqrstuvwxyz"[: len(kept) + 1] + "…"
    assert font.getlength(longer) > 80
    assert fit_line("abc", font, 80) == "abc"


def test_letters_that_the_font_lacks_are_spelt_by_their_sound():
    assert drawable("개를 먹었다.") == "gaereul meogeossda."
    assert drawable("\u1100\u1162") == "gae"  # decomposed
    assert drawable("ひらがな") == "hiragana"
    for text in ("a dog, été, ß", "собака", "ο σκύλος", "\U0001f415"):
        assert drawable(text) == text
    assert fit_line("개를", font_of(13), 200) == "gaereul"
