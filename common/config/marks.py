"""Marks beside an option's type, in `Annotated`: where and how it stands in the help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

Mark = TypeVar("Mark")


@dataclass(frozen=True)
class Group:
    """The title of the group that an option stands in.

    The options after it stand there too, those that its class inherits among them, up to one that
    names another group.
    """

    title: str


@dataclass(frozen=True)
class Basic:
    """The option stands in the first group, which a newcomer reads."""


@dataclass(frozen=True)
class Positional:
    """The option is written without its name, in its place."""


@dataclass(frozen=True)
class Hidden:
    """The option is none of the command line: a program finds its value."""


@dataclass(frozen=True)
class Metavar:
    """What stands for the option's value: DIR, FILE, RUN."""

    name: str


BASIC = Basic()
POSITIONAL = Positional()
HIDDEN = Hidden()

Folder: TypeAlias = Annotated[Path, Metavar("DIR")]
File: TypeAlias = Annotated[Path, Metavar("FILE")]


def marks(kind: Any, of: type[Mark]) -> Iterator[Mark]:
    """The marks of one class beside a type and inside it, as beside `Positive` in `Positive | None`.

    Args:
        kind: a field's type, as `get_type_hints(..., include_extras=True)` gives it.
        of: the class.
    """
    yield from (mark for mark in getattr(kind, "__metadata__", ()) if isinstance(mark, of))
    for part in get_args(kind):
        yield from marks(part, of)
