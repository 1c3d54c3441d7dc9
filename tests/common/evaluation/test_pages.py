"""Pages: as many as it takes, each of a size that can be looked at, under names that are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.evaluation.pages import named, pages, write_pages
from tests.common.evaluation.drawn import GREEN, pixels, plain


@pytest.mark.parametrize("count", [1, 2, 5, 100, 1000])
def test_pictures_go_on_pages_of_two_columns(count):
    found = list(pages((plain(30, 40) for _ in range(count)), column=50, tallest=400))
    assert len(found) == -(-count // 20)
    assert all(page.width <= 100 and page.height <= 400 for page in found)
    assert sum((pixels(page) == GREEN).all(axis=2).sum() for page in found) == count * 30 * 40


@pytest.mark.parametrize("size", [(300, 20), (20, 900), (300, 900)])
def test_a_picture_that_is_larger_than_a_page_is_whole(size):
    found = list(pages([plain(), plain(*size), plain()], column=100, tallest=400))
    shown = sum((pixels(page) == GREEN).all(axis=2).sum() for page in found)
    assert shown == 2 * 64 * 64 + size[0] * size[1]


def test_no_picture_is_no_page(tmp_path: Path):
    assert write_pages(tmp_path / "sheet.png", pages([])) == []
    assert not list(tmp_path.iterdir())


def test_one_page_has_the_name_and_several_have_numbers(tmp_path: Path):
    path = tmp_path / "my.sheet.png"
    assert write_pages(path, [plain()]) == [path]
    files = write_pages(tmp_path / "sheet.png", (plain(n, n) for n in range(1, 4)))
    assert [file.name for file in files] == ["sheet-1.png", "sheet-2.png", "sheet-3.png"]
    assert [Image.open(file).width for file in files] == [1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 4  # no other file is left
    assert named(files[:2]) == f"{files[0]}, {files[1]}"
    assert named(files * 4) == f"12 pages: {files[0]} to sheet-3.png"


def test_the_pages_before_a_failure_are_whole(tmp_path: Path):
    def failing():
        yield plain()
        yield plain()
        raise OSError("the disk is full")

    with pytest.raises(OSError):
        write_pages(tmp_path / "sheet.png", failing())
    assert [np.asarray(Image.open(file)).shape for file in tmp_path.iterdir()] == [(64, 64, 3)]
