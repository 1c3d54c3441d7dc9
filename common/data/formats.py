"""Recognising the format of a data set from the files of its folder."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from common.data.reading import check_encoded, check_readable
from common.data.splits import USUAL, split_name
from common.errors import UserError

Reader = TypeVar("Reader", bound=Callable[..., Any])


class Format(NamedTuple, Generic[Reader]):
    """A format of a data set.

    Args:
        name: of the format, as `--format` takes it.
        looks_like: examples of its files, for messages.
        find: selects its files among others.
        read: its reader.
        suffixes: of the files that may hold it when the user names it.
        lacks: what a file with such a suffix lacks, for the message where nothing is recognised.
    """

    name: str
    looks_like: str
    find: Callable[[Sequence[Path]], list[Path]]
    read: Reader
    suffixes: tuple[str, ...] = ()
    lacks: Callable[[Path], str | None] | None = None


class Found(NamedTuple, Generic[Reader]):
    """The name of a data set, its format, and its files; other formats that match other files."""

    name: str
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
    chosen: str | Format[Reader] | None = None,
    *,
    what: str,
    list_files: Callable[[Path], list[Path]] = visible_files,
) -> Found[Reader]:
    """The format of a folder, or of one data file.

    Args:
        path: the folder, or the file.
        formats: in the order in which they are tried; the first match is taken.
        chosen: the name of one of them, or any other format; None recognises it.
        what: the items of the data set, for messages.
        list_files: lists the files of a folder that may hold the data.

    Raises:
        UserError: there is no such folder, or it holds nothing of the format, or of any format; or
            a file is in another encoding, or a damaged `.gz`.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such folder. Name the folder that holds the {what}.")
    files = [path] if path.is_file() else list_files(path)
    tried = [chosen] if isinstance(chosen, Format) else formats
    tried = [each for each in tried if chosen in (None, each, each.name)]
    if not tried:
        names = ", ".join(each.name for each in formats)
        raise UserError(f"there is no data format {chosen!r}. The formats are {names}.")
    found = [(each, its_files) for each in tried if (its_files := each.find(files))]
    if not found and chosen is not None:
        # A format that the user gives may have any file name, if only one file can be meant.
        alike = with_suffix(files, *tried[0].suffixes)
        found = [(tried[0], alike)] if len(alike) == 1 else []
    if not found:
        for file in files:
            if not (mimetypes.guess_type(file.name)[0] or "").startswith("image/"):
                check_readable(file)
        likely = set(with_suffix(files, *(suffix for each in tried for suffix in each.suffixes)))
        for file in sorted(likely):
            check_encoded(file)
        shown = [
            file.name for file in sorted(files, key=lambda file: (file not in likely, file.name))
        ]
        seen = ", ".join(shown[:6]) or "no files"
        seen += f", ... {len(shown):,} files" if len(shown) > 6 else ""
        if lacking := _lacking(files, tried):
            raise UserError(f"{path}: no {what} in a known format here (found: {seen}). {lacking}.")
        known = "; ".join(f"{each.name}: {each.looks_like}" for each in tried)
        if packed := with_suffix(files, *_NOT_READ):
            known += (
                f". {packed[0].name} is not read: unpack it, or save a table (.csv) or JSON lines"
            )
        raise UserError(
            f"{path}: no {what} in a known format here (found: {seen}). Looked for {known.rstrip('.')}."
        )
    best, its_files = found[0]
    others = [each.name for each, other_files in found[1:] if other_files != its_files]
    return Found(path.resolve().name if path.is_dir() else path.stem, best, its_files, others)


def _lacking(files: Sequence[Path], formats: Sequence[Format[Any]]) -> str:
    """What the first files that come near to a format lack."""
    reasons = []
    for each in formats:
        if each.lacks is not None:
            reasons += [each.lacks(file) for file in with_suffix(files, *each.suffixes)[:3]]
    return ". ".join([reason for reason in reasons if reason][:2])


# What data come in that is no text.
_NOT_READ = (
    *(".parquet", ".arrow", ".feather", ".xlsx", ".xls", ".ods", ".mat", ".h5", ".hdf5", ".pkl"),
    *(".pickle", ".npy", ".npz", ".db", ".sqlite", ".zip", ".tar", ".tgz", ".7z", ".rar"),
)


def named(pattern: str | re.Pattern[str]) -> Callable[[Sequence[Path]], list[Path]]:
    """Selects the files whose whole names match a pattern; a `find` of `Format`."""
    return lambda files: [file for file in files if re.fullmatch(pattern, file.name)]


def plain_name(file: Path) -> str:
    """The name of a file without a `.gz` at its end."""
    return file.name[:-3] if file.suffix.lower() == ".gz" else file.name


def plain_stem(file: Path) -> str:
    """The name of a file without its suffix, and without `.gz` after it."""
    return plain_name(file).rpartition(".")[0] or plain_name(file)


def with_suffix(files: Sequence[Path], *suffixes: str) -> list[Path]:
    """The files whose names end so, in any case, perhaps with `.gz` after it."""
    return [file for file in files if plain_name(file).lower().endswith(suffixes)]


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


Parts = list[tuple[str | None, Path]]
"""The files of a data set with their splits; None where it is found record by record."""


def by_split(files: Sequence[Path], what: str) -> Parts:
    """The files that are named after train, val and test; or else the only file, with None.

    Raises:
        UserError: there are several of a split, or several and none is named after a split.
    """
    named: dict[str | None, list[Path]] = {}
    for file in files:
        named.setdefault(split_name(plain_stem(file)), []).append(file)
    found = [(split, only(named[split], f"{what} of the split {split}")) for split in USUAL
             if split in named]  # fmt: skip
    return [*found] or [(None, only(files, what))]
