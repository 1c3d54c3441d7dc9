"""The formats of pictures that Pillow reads by a plugin, or not at all: known by name and by content."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

from PIL import Image, features

_JPEG_2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_JPEG_XL = (b"\0\0\0\x0cJXL ", b"\xff\x0a")


class PictureFormat(NamedTuple):
    """A format that not every Pillow reads.

    Args:
        name: of the format.
        suffixes: of its files.
        feature: of Pillow, that tells whether it was built with the format.
        package: of the Python Package Index, that adds it.
        module: of that package.
        function: of that module, that registers it; None: importing does.
    """

    name: str
    suffixes: tuple[str, ...]
    feature: str | None = None
    package: str | None = None
    module: str | None = None
    function: str | None = None

    @property
    def advice(self) -> str:
        """What to do where it cannot be read."""
        install = (
            f"Install {self.package} (pip install {self.package}), or convert"
            if self.package
            else ""
        )
        return f"{install or 'Convert'} to JPEG or PNG"

    def readable(self) -> bool:
        """Whether Pillow reads it here, after its plugin was loaded, if there is one."""
        if self._registered():
            return True
        with suppress(Exception):  # whatever a plugin raises that does not suit this machine
            if self.module:
                module = import_module(self.module)
                if self.function:
                    getattr(module, self.function)()
        return self._registered()

    def _registered(self) -> bool:
        if self.feature is not None:  # its endings are registered also where Pillow lacks the codec
            with suppress(ValueError, AttributeError):  # an older Pillow does not know the feature
                if features.check(self.feature):
                    return True
        if self.package is None:
            return False
        Image.init()
        return any(Image.EXTENSION.get(suffix) in Image.OPEN for suffix in self.suffixes)


FORMATS = (
    PictureFormat(
        "HEIC", (".heic", ".heics", ".heif", ".hif"), None, "pillow-heif", "pillow_heif",
        "register_heif_opener",
    ),
    PictureFormat("AVIF", (".avif",), "avif", "pillow-avif-plugin", "pillow_avif"),
    PictureFormat("JPEG XL", (".jxl",), None, "pillow-jxl-plugin", "pillow_jxl"),
    PictureFormat("JPEG 2000", (".j2c", ".j2k", ".jp2", ".jpf", ".jpx"), "jpg_2000"),
    PictureFormat(
        "raw data of a camera", (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2")
    ),
    PictureFormat("SVG", (".svg",)),
)  # fmt: skip


def format_by_name(name: str) -> PictureFormat | None:
    """The format of a file by its ending; None for one that every Pillow reads."""
    ending = os.path.splitext(name)[1].lower()
    return next((each for each in FORMATS if ending in each.suffixes), None)


def format_by_content(start: bytes) -> PictureFormat | None:
    """The format of a file by its first bytes; None for one that every Pillow reads, and others."""
    if start[4:8] == b"ftyp":
        brands = start[8:64]
        names = {"AVIF": (b"avif", b"avis"), "HEIC": (b"heic", b"heix", b"hevc", b"mif1", b"msf1")}
        names["raw data of a camera"] = (b"crx ",)
        name = next((n for n, signs in names.items() if any(s in brands for s in signs)), None)
    elif start.startswith(_JPEG_2000):
        name = "JPEG 2000"
    elif start.startswith(_JPEG_XL):
        name = "JPEG XL"
    elif b"<svg" in start[:1024]:
        name = "SVG"
    else:
        name = "raw data of a camera" if start.startswith(b"FUJIFILMCCD-RAW") else None
    return next((each for each in FORMATS if each.name == name), None)


def unreadable(names: Iterable[str]) -> Iterator[tuple[PictureFormat, list[str]]]:
    """The files among some that Pillow cannot read here, by their format, in order."""
    found: dict[str, list[str]] = {}
    for name in names:
        if (each := format_by_name(name)) is not None:
            found.setdefault(each.name, []).append(name)
    for each in FORMATS:
        if each.name in found and not each.readable():
            yield each, found[each.name]


def unreadable_lines(names: Iterable[str]) -> Iterator[str]:
    """One line for each such format: how many pictures, which, and what to do."""
    for each, there in unreadable(names):
        shown = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        what = f"pictures that Pillow cannot read here, {each.name}"
        yield f"{what}: {len(there):,} ({shown}). {each.advice}"
