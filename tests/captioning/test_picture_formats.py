"""Pictures that Pillow cannot read are counted and named, with what to do; a plugin is used if there."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from PIL import Image, ImageFile, features

from captioning.data import load
from captioning.image_files import list_images
from captioning.images import ImageError, open_image
from captioning.picture_formats import FORMATS, format_by_content, format_by_name
from common.errors import UserError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Pillow has no optional codec, and no plugin is installed."""
    Image.init()
    monkeypatch.setattr(features, "check", lambda feature: False)
    for each in FORMATS:
        if each.module is not None:
            monkeypatch.setitem(sys.modules, each.module, None)
        for suffix in each.suffixes:
            monkeypatch.delitem(Image.EXTENSION, suffix, raising=False)


def folder(path: Path, *names: str) -> Path:
    for name in names:
        if name.endswith((".png", ".jpg")):
            Image.new("RGB", (3, 2)).save(path / name)
        else:
            (path / name).write_bytes(HEIC)
    return path


def test_a_folder_names_and_counts_what_it_leaves_out(
    tmp_path: Path, without: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a.HEIC", "b.heic", "c.heif", "d.heic", "e.jp2", "f.svg", "g.cr2", "h.avif", "i.jxl"]
    folder(tmp_path, *names, "z.png")
    assert list_images([tmp_path]) == [tmp_path / "z.png"]
    shown = capsys.readouterr().err
    assert (
        f"skipped: {tmp_path}: pictures that Pillow cannot read here, HEIC: 4 (a.HEIC, b.heic, c.heif, "
        "...). Install pillow-heif (pip install pillow-heif), or convert to JPEG or PNG." in shown
    )
    for name in names[4:]:
        assert f"({name})" in shown
    assert shown.count("\n") == 6
    # A file that is named is tried, whatever its name.
    assert list_images([tmp_path / "a.HEIC"]) == [tmp_path / "a.HEIC"]


def test_a_folder_of_nothing_else_is_an_error(tmp_path: Path, without: None) -> None:
    folder(tmp_path, "a.heic", "b.heic")
    with pytest.raises(
        UserError, match=r"below it: pictures .* HEIC: 2 \(a.heic, b.heic\). Install"
    ):
        list_images([tmp_path])


def test_what_pillow_reads_is_listed(tmp_path: Path) -> None:
    for name, feature in (
        ("a.jp2", "jpg_2000"),
        ("b.avif", "avif"),
        ("c.tga", None),
        ("d.qoi", None),
    ):
        if feature is None or features.check(feature):
            Image.new("RGB", (30, 20)).save(tmp_path / name)
    listed = list_images([tmp_path])
    assert [path.name for path in listed] == sorted(path.name for path in tmp_path.iterdir())
    for path in listed:
        assert open_image(path).size == (30, 20)


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])  # as of a telephone that renamed it
def test_a_picture_that_is_named_says_what_it_is(tmp_path: Path, without: None, name: str) -> None:
    (tmp_path / name).write_bytes(HEIC)
    with pytest.raises(ImageError, match=rf"{name}: HEIC, which .* Install pillow-heif .*convert"):
        open_image(tmp_path / name)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (HEIC, "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1", "AVIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x">', "SVG"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "raw data of a camera"),
        (b"\0\0\0\x18ftypisom\0\0\0\1", None),  # a film
        (b"\xff\xd8\xff\xe0", None),
        (b"", None),
    ],
)
def test_formats_by_their_first_bytes(start: bytes, name: str | None) -> None:
    found = format_by_content(start)
    assert (found and found.name) == name


def test_a_plugin_is_loaded_when_it_is_needed(
    tmp_path: Path, without: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Heic(ImageFile.ImageFile):
        format = "HEIC"

        def _open(self) -> None:
            self._size, self._mode = (7, 5), "RGB"
            self.tile = []

        def load(self):  # type: ignore[no-untyped-def]
            return Image.new("RGB", (7, 5)).load()

    def register_heif_opener() -> None:
        Image.register_open("HEIC", Heic, lambda start: start[4:12] == b"ftypheic")
        Image.register_extension("HEIC", ".heic")

    plugin = types.ModuleType("pillow_heif")
    plugin.register_heif_opener = register_heif_opener  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", [*Image.ID])
    (tmp_path / "a.heic").write_bytes(HEIC)
    assert list_images([tmp_path]) == [tmp_path / "a.heic"]
    with Image.open(tmp_path / "a.heic") as image:
        assert image.size == (7, 5)
    monkeypatch.undo()


def test_a_data_set_says_which_of_its_pictures_cannot_be_read(
    tmp_path: Path, without: None
) -> None:
    folder(tmp_path, "a.heic", "b.png")
    (tmp_path / "captions.csv").write_text("image,caption\na.heic,A cat\nb.png,A dog\n")
    (note,) = load(tmp_path).notes
    assert note.startswith("pictures that Pillow cannot read here, HEIC: 1 (a.heic). Install")


def test_every_suffix_belongs_to_one_format() -> None:
    suffixes = [suffix for each in FORMATS for suffix in each.suffixes]
    assert len({*suffixes}) == len(suffixes)
    assert all(format_by_name(f"x{suffix.upper()}") is not None for suffix in suffixes)
