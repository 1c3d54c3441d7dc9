"""Image files: recognised by name, listed on a command line, or found by the names in a data set."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from common.data.damage import Damage
from common.data.reading import is_unicode
from common.errors import UserError
from common.files import expanded

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip


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
    that is named twice is listed once.

    Raises:
        UserError: a path does not exist, or a folder holds no image.
    """
    found: dict[Path, None] = {}
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    for path in map(expanded, paths):
        if path.is_dir():
            inside = sorted(name for name in walk_files(path) if is_image_name(name))
            if not inside:
                raise UserError(
                    f"{path}: no image in this folder or below it "
                    f"(looked for {', '.join(IMAGE_SUFFIXES)})."
                )
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


# Folders in which data sets keep their images; one of several files of a name is taken from there.
_IMAGE_FOLDERS = frozenset(
    ["images", "flicker8k_dataset", "flickr8k_dataset", "flickr30k_images", "flickr30k-images"]
)


class ImageFolder:
    """The files below a folder: listed once, then found by the names that data sets give them.

    One listing is faster than 120,000 look-ups in the file system.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._absolute = {os.path.abspath(root), os.path.realpath(root)}
        self.files = set(walk_files(root))
        self._by_name: dict[str, list[str]] = {}
        for file in self.files:
            self._by_name.setdefault(posixpath.basename(file), []).append(file)

    def find(self, name: str) -> str:
        """The file, relative to the folder, that a relative name with "/" means.

        It is that path itself, or else the only file, or the least deep one, whose path ends so.

        Raises:
            Damage: there is none, or more than one.
        """
        if name in self.files:
            return name
        found = self._by_name.get(posixpath.basename(name), [])
        found = [file for file in found if file.endswith(f"/{name}")]
        usual = [f for f in found if f.lower().split("/")[-2] in _IMAGE_FOLDERS]
        found = usual or found
        depth = min((file.count("/") for file in found), default=0)
        found = [file for file in found if file.count("/") == depth]
        if not found:
            raise Damage(f"there is no image {name}")
        if len(found) > 1:
            raise Damage(f"{name} could be {' or '.join(sorted(found)[:2])}")
        return found[0]

    def locate(self, image: str, folder: str | None = None) -> tuple[str, str]:
        """The id of an image and its file, relative to the folder.

        Args:
            image: its name, as the data set has it.
            folder: of the image in this format, if it names one; the file may also be elsewhere.

        Raises:
            Damage: there is no such file, or the name leads out of the folder.
        """
        name = self._inside(posixpath.join(folder, image) if folder else image)
        try:
            return name, self.find(name)
        except Damage:
            if not folder:
                raise
            return name, self.find(self._inside(image))

    def _inside(self, name: str) -> str:
        path = posixpath.normpath(name.strip().replace("\\", "/"))  # without detours
        for root in self._absolute:
            path = path.removeprefix(f"{root}/")
        if path.startswith(("/", "../")) or path in ("..", ".") or re.match("[A-Za-z]:/", path):
            raise Damage(f"{name} is outside {self.root}: refused")
        if not is_unicode(path):
            raise Damage(f"{name} has a lone surrogate in it")
        return path


class ImageNames(ImageFolder):
    """A folder whose files are not looked at, and need not be there: every name is that of a file.

    Args:
        root: the folder that the names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._absolute = {os.path.abspath(root), os.path.realpath(root)}
        self.files = set()

    def locate(self, image: str, folder: str | None = None) -> tuple[str, str]:
        name = self._inside(posixpath.join(folder, image) if folder else image)
        return name, name
