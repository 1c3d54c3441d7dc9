"""Marks beside an option's type, in `Annotated`: where and how it stands in the help."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_type_hints

Mark = TypeVar("Mark")


class Place(Enum):
    """Where an option stands."""

    BASIC = "in the first group of the help, which a newcomer reads"
    POSITIONAL = "without its name, in its place on the command line"
    HIDDEN = "nowhere on the command line: a program finds its value"


BASIC, POSITIONAL, HIDDEN = Place


@dataclass(frozen=True)
class Group:
    """The title of the group that an option stands in.

    The options after it stand there too, those that its class inherits among them, up to one that
    names another group.
    """

    title: str


@dataclass(frozen=True)
class Metavar:
    """What stands for the option's value: DIR, FILE, RUN."""

    name: str


@dataclass(frozen=True)
class Local:
    """The option is of one call: no run keeps it, and no file is read for it.

    So is a folder to write in: that which a file of somebody else names is none to write in.
    """


LOCAL = Local()

Folder: TypeAlias = Annotated[Path, Metavar("DIR")]
File: TypeAlias = Annotated[Path, Metavar("FILE")]


def marks(kind: Any, of: type[Mark]) -> list[Mark]:
    """The marks of one class beside a type and inside it, as beside `Positive` in `Positive | None`.

    Args:
        kind: a field's type, as `get_type_hints(..., include_extras=True)` gives it.
        of: the class.
    """
    beside = [mark for mark in getattr(kind, "__metadata__", ()) if isinstance(mark, of)]
    return beside + [mark for part in get_args(kind) for mark in marks(part, of)]


def settings(options: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The options of a dataclass and of those in it: dotted name, type with its marks, and the
    dataclass object that has it."""
    for name, kind in get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        if dataclasses.is_dataclass(value):
            yield from settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, kind, options
