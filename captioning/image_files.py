"""Image files: recognised by name, and listed on a command line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from captioning.picture_formats import FORMATS, unreadable, unreadable_lines
from common.errors import UserError, printable
from common.files import expanded
from common.progress import warn

_USUAL = (
    ".apng", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".qoi", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
# Those that Pillow may not read are images too: they are named where it does not.
IMAGE_SUFFIXES = (*_USUAL, *(suffix for each in FORMATS for suffix in each.suffixes))


def walk_files(root: str | os.PathLike[str]) -> Iterator[str]:
    """The files below a folder as relative paths with "/", hidden ones left out, in no order.

    Links to folders are followed (photographs are often on another disk), each folder once.
    """
    visited: set[str] = set()
    waiting = [(os.fspath(root), "")]
    while waiting:
        directory, prefix = waiting.pop()
        real = os.path.realpath(directory)
        if real in visited:
            continue
        visited.add(real)
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                is_folder = False
                with suppress(OSError):  # a link to itself is a file that cannot be read
                    is_folder = entry.is_dir()
                if is_folder:
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
                else:
                    yield f"{prefix}{entry.name}"


def list_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> list[Path]:
    """The image files of a command line's "IMAGE_OR_FOLDER...".

    A file stands for itself, whatever its name; a folder for the images below it, sorted. A file
    that is named twice is listed once. Of a folder, pictures in formats that Pillow cannot read here
    are left out, and counted and named on standard error.

    Raises:
        UserError: a path does not exist, or a folder holds no image.
    """
    found: dict[Path, None] = {}
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    for path in map(expanded, paths):
        if path.is_dir():
            inside = sorted(name for name in walk_files(path) if is_image_name(name))
            lines = [*unreadable_lines(inside)]
            for _, skipped in unreadable(inside):
                inside = sorted({*inside} - {*skipped})
            if not inside:
                why = f": {'; '.join(lines)}" if lines else f" (looked for {', '.join(_USUAL)})"
                raise UserError(f"{path}: no image in this folder or below it{why}.")
            for line in lines:
                warn(printable(f"skipped: {path}: {line}."))
            found.update(dict.fromkeys(path / name for name in inside))
        elif path.exists():
            found[path] = None
        else:
            raise UserError(f"{path}: there is no such image or folder.")
    if not found:
        raise UserError("no image was given: name image files, or folders that hold some.")
    return list(found)


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as image files do."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def image_stem(name: str) -> str:
    """A name without the ending of image files; any other ending stays."""
    return os.path.splitext(name)[0] if is_image_name(name) else name
