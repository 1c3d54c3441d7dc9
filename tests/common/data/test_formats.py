"""Which format a folder has: the first that fits, or the one that is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.data.formats import Format, Found, by_split, find_format, only
from common.errors import UserError


def ending(*suffixes: str):
    return lambda files: [file for file in files if file.suffix in suffixes]


FORMATS = [
    Format("one", "a.one", ending(".one"), len, (".one", ".txt")),
    Format("two", "a.two", ending(".two"), len),
    Format("both", "a.one, a.two", ending(".one", ".two"), len),
]


def find(path: Path, chosen=None) -> Found:
    return find_format(path, FORMATS, chosen, what="pets")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.one", "a.two", ".hidden.one", "pets.md"):
        (tmp_path / name).touch()
    return tmp_path


def test_the_first_format_that_fits_is_taken_and_others_are_noted(folder: Path) -> None:
    found = find(folder)
    assert found.format.name == "one" and found.files == [folder / "b.one"]
    assert list(found.notes()) == ["read as one; it could also be read as two, both"]
    assert found.name == folder.name
    alone = find(folder / "a.two")
    assert alone.format.name == "two" and alone.name == "a" and not list(alone.notes())


def test_a_format_that_is_named_is_taken_and_checked(folder: Path) -> None:
    assert find(folder, "both").files == [folder / "a.two", folder / "b.one"]
    with pytest.raises(UserError, match="no data format 'tmx'. The formats are one, two, both"):
        find(folder, "tmx")
    (folder / "a.two").unlink()
    with pytest.raises(UserError, match=r"no pets in a known .*Looked for two: a.two\.$"):
        find(folder, "two")
    # A format that is named may have a file of any name, where only one can be meant.
    (folder / "b.one").rename(folder / "b.txt")
    assert find(folder, "one").files == [folder / "b.txt"]
    own = Format("own", "a.md", ending(".md"), len)
    assert find(folder, own) == Found(folder.name, own, [folder / "pets.md"], [])


def test_what_cannot_be_read_is_explained_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        find(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no pets in a known format here \(found: no files\)"):
        find(tmp_path)
    (tmp_path / "x.doc").write_text("")
    with pytest.raises(
        UserError, match=r"\(found: x.doc\). Looked for one: a.one; two: a.two; both"
    ):
        find(tmp_path)
    (tmp_path / "x.doc").write_bytes(b"\x1f\x8b\x08 no longer a gzip file")
    with pytest.raises(UserError, match="x.doc: a damaged or incomplete gzip file"):
        find(tmp_path)


def test_files_of_splits_or_the_only_file() -> None:
    files = [Path(name) for name in ("test.csv", "Training.csv.gz", "other.csv")]
    assert by_split(files, "table") == [("train", files[1]), ("test", files[0])]
    assert by_split(files[2:], "table") == [(None, files[2])]
    with pytest.raises(
        UserError, match=r"more than one table of the split val \(dev.csv, val.csv\)"
    ):
        by_split([Path("dev.csv"), Path("val.csv")], "table")
    with pytest.raises(UserError, match=r"more than one table \(a.csv, b.csv\)"):
        only([Path("a.csv"), Path("b.csv")], "table")
