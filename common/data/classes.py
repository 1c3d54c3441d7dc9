"""Texts with a class each: a folder with a file for every class, one text a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.data.reading import byte_lines
from common.errors import UserError


@dataclass(frozen=True)
class ClassifiedTexts:
    """Texts, their classes, and the names of these.

    Args:
        names: of the classes, in the order of their numbers.
        texts: the words of each, at least one.
        labels: the number of the class of each text.
    """

    names: tuple[str, ...]
    texts: list[list[str]]
    labels: list[int]


def read_classes(folder: Path) -> ClassifiedTexts:
    """Read a folder in which each file is a class, as rt-polarity.neg and rt-polarity.pos.

    Words are what stands between blanks, in lower case. A class has the name of its file, without
    what all files share before or after the dot. A line that is not UTF-8 is read as Latin-1.

    Raises:
        UserError: there is no such folder, there are fewer than two files, or one has no text.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder. Give one with a file of texts for each class.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    if len(files) < 2:
        raise UserError(f"{folder} has {len(files)} files: give two or more, one for each class.")
    same = len({path.stem for path in files}) == 1
    names = tuple(path.suffix[1:] if same else path.stem for path in files)
    if len(set(names)) != len(names):
        raise UserError(f"{folder}: two files give a class of the same name. Rename one.")
    found = ClassifiedTexts(names, [], [])
    for label, path in enumerate(files):
        texts = [words for line in byte_lines(path) if (words := _decoded(line).lower().split())]
        if not texts:
            raise UserError(f"{path}: no text. Remove the file, or fill it.")
        found.texts.extend(texts)
        found.labels.extend([label] * len(texts))
    return found


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")
