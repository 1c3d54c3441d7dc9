"""Texts of a folder with a file for each class."""

from __future__ import annotations

import pytest

from common.data.classes import read_classes
from common.errors import UserError


def test_two_files_of_one_stem_are_classes_by_their_endings(tmp_path):
    (tmp_path / "film.pos").write_bytes("Très BON\n\nfine\n".encode("latin-1"))
    (tmp_path / "film.neg").write_bytes("très mauvais\n".encode())
    data = read_classes(tmp_path)
    assert data.names == ("neg", "pos") and data.labels == [0, 1, 1]
    assert data.texts == [["très", "mauvais"], ["très", "bon"], ["fine"]]


def test_what_is_no_folder_of_classes_is_refused(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        read_classes(tmp_path / "none")
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(UserError, match="has 1 files"):
        read_classes(tmp_path)
    (tmp_path / "b.txt").write_text("\n")
    with pytest.raises(UserError, match=r"b\.txt: no text"):
        read_classes(tmp_path)
