"""Which files are images: those named, and those below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from captioning.image_files import list_images, walk_files
from common.errors import UserError


def test_folders_stand_for_the_images_below_them(tmp_path: Path) -> None:
    names = ["b.jpg", "a.PNG", "deep/er/c.webp", "notes.txt", ".hidden.jpg", ".cache/d.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = list_images([tmp_path / "notes.txt", tmp_path, tmp_path / "b.jpg"])
    expected = ["notes.txt", "a.PNG", "b.jpg", "deep/er/c.webp"]
    assert found == [tmp_path / name for name in expected]


def test_nothing_to_list_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"no image in this folder or below it .*\.jpg"):
        list_images([tmp_path])
    with pytest.raises(UserError, match="gone.jpg: there is no such image or folder"):
        list_images([tmp_path / "gone.jpg"])
    with pytest.raises(UserError, match="no image was given"):
        list_images([])


def test_a_link_to_itself_refuses_no_folder(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "a.png").touch()
    assert set(walk_files(tmp_path)) == {"loop", "a.png"}
    assert list_images([tmp_path]) == [tmp_path / "a.png"]
