"""The image files of a data set, found by the names in it."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from captioning.image_files import walk_files
from common.data.damage import Damage
from common.data.reading import is_unicode

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
        found = [file for file in found if _in_image_folder(file)] or found
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
        path = image_id(name)
        for root in self._absolute:
            path = path.removeprefix(f"{root}/")
        if path.startswith(("/", "../")) or path in ("..", ".") or re.match("[A-Za-z]:/", path):
            raise Damage(f"{name} is outside {self.root}: refused")
        if not is_unicode(path):
            raise Damage(f"{name} has a lone surrogate in it")
        return path


def image_id(name: str) -> str:
    """The id of an image: its name with "/" between folders, and no detours."""
    return posixpath.normpath(name.strip().replace("\\", "/"))


def _in_image_folder(file: str) -> bool:
    return posixpath.basename(posixpath.dirname(file)).lower() in _IMAGE_FOLDERS
