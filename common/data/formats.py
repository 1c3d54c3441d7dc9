"""Recognising the format of a data set from the files of its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from common.data.reading import check_readable
from common.errors import UserError

Reader = TypeVar("Reader", bound=Callable[..., Any])


class Format(NamedTuple, Generic[Reader]):
    """A format of a data set.

    Args:
        name: of the format, as `--format` takes it.
        looks_like: examples of its files, for messages.
        find: selects its files among others.
        suffixes: of the files that may hold it when the user names it.
        read: its reader.
    """

    name: str
    looks_like: str
    find: Callable[[Sequence[Path]], list[Path]]
    suffixes: tuple[str, ...]
    read: Reader


class Found(NamedTuple, Generic[Reader]):
    """The format of a folder, its files, and the names of other formats that match other files."""

    format: Format[Reader]
    files: list[Path]
    others: list[str]

    def notes(self) -> Iterator[str]:
        """A note if the folder is ambiguous."""
        if self.others:
            yield f"read as {self.format.name}; it could also be read as {', '.join(self.others)}"


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder, sorted by name, without hidden ones."""
    inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return [entry for entry in inside if entry.is_file()]


def find_format(
    path: Path,
    formats: Sequence[Format[Reader]],
    name: str | None = None,
    *,
    what: str,
    list_files: Callable[[Path], list[Path]] = visible_files,
) -> Found[Reader]:
    """The format of a folder, or of one data file.

    Args:
        path: the folder, or the file.
        formats: in the order in which they are tried; the first match is taken.
        name: of the format, if the user gives it; None recognises it.
        what: the items of the data set, for messages.
        list_files: lists the files of a folder that may hold the data.

    Raises:
        UserError: there is no such folder, or it holds nothing of the format, or of any format; or
            a file is UTF-16, or a damaged `.gz`.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such folder. Name the folder that holds the {what}.")
    files = [path] if path.is_file() else list_files(path)
    tried = [each for each in formats if name in (None, each.name)]
    if not tried:
        names = ", ".join(each.name for each in formats)
        raise UserError(f"there is no data format {name!r}. The formats are {names}.")
    found = [(each, its_files) for each in tried if (its_files := each.find(files))]
    if not found and name is not None:
        # A format that the user gives may have any file name, if only one file can be meant.
        alike = [file for file in files if plain_name(file).lower().endswith(tried[0].suffixes)]
        found = [(tried[0], alike)] if len(alike) == 1 else []
    if not found:
        for file in files:
            check_readable(file)
        seen = ", ".join(sorted(file.name for file in files)[:6]) or "no files"
        known = "; ".join(f"{each.name}: {each.looks_like}" for each in tried)
        raise UserError(
            f"{path}: no {what} in a known format here (found: {seen}). Looked for {known}."
        )
    best, its_files = found[0]
    others = [each.name for each, other_files in found[1:] if other_files != its_files]
    return Found(best, its_files, others)


def plain_name(file: Path) -> str:
    """The name of a file without a `.gz` at its end."""
    return file.name[:-3] if file.suffix.lower() == ".gz" else file.name


def only(files: Sequence[Path], what: str) -> Path:
    """The only file.

    Raises:
        UserError: there are several.
    """
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UserError(
            f"{files[0].parent}: more than one {what} ({names}). "
            "Name the one that is meant instead of the folder, or keep only that one."
        )
    return files[0]
