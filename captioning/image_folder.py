"""The image files below a folder, found by the names that data sets give them."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from pathlib import Path

from captioning.image_files import image_stem, is_image_name, walk_files
from common.data.damage import Damage
from common.data.reading import is_unicode
from common.data.splits import split_in

# Folders in which data sets keep their images; one of several files of a name is taken from there.
_IMAGE_FOLDERS = frozenset(
    ["images", "flicker8k_dataset", "flickr8k_dataset", "flickr30k_images", "flickr30k-images"]
)


class ImageFolder:
    """The files below a folder: listed once, then found by the names that data sets give them.

    One listing is faster than 120,000 look-ups in the file system. Letters with accents are the same
    whether a name has them as one character (NFC) or as two (NFD, as on a Mac).

    Args:
        root: the folder.

    Attributes:
        files: relative to the folder, with "/".
        elsewhere: what was found by the end of a path whose first folders are not here: the name,
            and the file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._absolute = {
            spelling(each) for each in (os.path.abspath(root), os.path.realpath(root))
        }
        self.files = set(walk_files(root))
        self.elsewhere: dict[str, str] = {}
        self._folders: set[str] = set()
        self._by_key: dict[str, list[tuple[str, tuple[str | None, ...]]]] = {}

    def locate(self, image: str, folder: str | None = None) -> tuple[str, str]:
        """The id of an image and its file, relative to the folder.

        A name means the file at this path, or the only one whose path ends so; or else the same in
        other letters (x.JPG for x.jpg), without the ending, or as a number without its zeros. Of a
        path of another machine (/kaggle/input/x.jpg) the longest end that is here counts.

        Args:
            image: its name, as the data set has it.
            folder: of the image in this format, if it names one; the file may also be elsewhere.

        Raises:
            Damage: there is no such file, or more than one.
        """
        name, outside = self._inside(image)
        if name in self.files and not folder:
            return name, name
        if not self._by_key:
            self._index()
        if folder and (file := self._find(f"{folder}/{name}")):
            return _id(f"{folder}/{name}", file), file
        parts = name.split("/")
        for start in range(len(parts)):
            if file := self._find(name, start):
                if start:
                    self.elsewhere[image] = file
                return _id("/".join(parts[start:]), file), file
            if spelling(parts[start]) in self._folders:
                break  # the image should be in this folder, and is not
        if outside:
            raise Damage(
                f"{image.strip()} is outside {self.root}, and no image of its name is there"
            )
        alike = [file for file, _ in self._by_key.get(_key(parts[-1]), [])]
        raise Damage(f"there is no image {name}" + (f" (there is {alike[0]})" if alike else ""))

    def _inside(self, name: str) -> tuple[str, bool]:
        """A path relative to the folder, without detours; and whether it leads out of it."""
        path = posixpath.normpath(name.strip().replace("\\", "/"))
        if not is_unicode(path):
            raise Damage(f"{name} has a lone surrogate in it")
        for root in self._absolute:
            if spelling(path).startswith(f"{root}/"):
                path = spelling(path).removeprefix(f"{root}/")
        inside = re.sub(r"^([A-Za-z]:)?/*((\.\.)?/)*(\.\.?$)?", "", path)
        if not inside:
            raise Damage(f"{name} is outside {self.root}: it names no file")
        return inside, inside != path

    def _find(self, name: str, start: int = 0) -> str | None:
        """The only file whose path ends as the name does from its part `start` on; None: there is none.

        Raises:
            Damage: there are several.
        """
        *dropped, end = name.split("/", start)
        if end in self.files:
            return end
        candidates = self._by_key.get(_key(end), [])
        if dropped and candidates and (split := _splits(dropped)):  # train/1.jpg is not val/1.jpg
            candidates = [each for each in candidates if _splits(each[0].split("/")[:-1]) <= split]
        if not candidates:
            return None
        for how, wanted in enumerate(_spellings(end, named=is_image_name(end))):
            found = [
                file for file, theirs in candidates if f"/{theirs[how]}".endswith(f"/{wanted}")
            ]
            if wanted is not None and found:
                return self._only(end, found)
        return None

    def _only(self, name: str, found: list[str]) -> str:
        usual = [f for f in found if f.count("/") and f.lower().split("/")[-2] in _IMAGE_FOLDERS]
        found = sorted(usual or found)
        if len(found) > 1:
            more = f" ({len(found):,} in all)" if len(found) > 2 else ""
            raise Damage(
                f"{name} is ambiguous: it could be {found[0]} or {found[1]}{more}. Name it with "
                "its folder"
            )
        return found[0]

    def _index(self) -> None:
        for file in self.files:
            *folders, name = file.split("/")
            if is_image_name(name):
                self._folders.update(map(spelling, folders))
            self._by_key.setdefault(_key(name), []).append((file, _spellings(file)))


class ImageNames(ImageFolder):
    """A folder whose files are not looked at, and need not be there: every name is that of a file.

    Args:
        root: the folder that the names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._absolute = {
            spelling(each) for each in (os.path.abspath(root), os.path.realpath(root))
        }
        self.files = set()
        self.elsewhere = {}

    def locate(self, image: str, folder: str | None = None) -> tuple[str, str]:
        name, _ = self._inside(posixpath.join(folder, image) if folder else image)
        return name, name


def _id(name: str, file: str) -> str:
    """The name as the data set has it, with the ending of the file where it has none."""
    return (
        name
        if is_image_name(name)
        else posixpath.join(posixpath.dirname(name), posixpath.basename(file))
    )


def spelling(name: str) -> str:
    """A name with each accented letter as one character (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _splits(folders: list[str]) -> set[str]:
    return {split for folder in folders if (split := split_in(folder))}


def _key(name: str) -> str:
    """Equal for all that may be the same image: without folder and ending, in small letters."""
    stem = image_stem(spelling(posixpath.basename(name))).casefold()
    return stem.lstrip("0") if stem.isdigit() else stem


def _spellings(name: str, named: bool = False) -> tuple[str | None, ...]:
    """How a name and a file are compared, from the strictest on: exactly, in any case, without the
    ending, and as a number without zeros. None: it is not compared so; with an ending, not without."""
    exact = spelling(name)
    stem = image_stem(exact).casefold()
    folder, slash, last = stem.rpartition("/")
    number = f"{folder}{slash}{last.lstrip('0')}" if last.isdigit() else None
    return (exact, exact.casefold(), *((None, None) if named else (stem, number)))
