"""A fixed set of classes, as tags of words, and their numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from common.data.reading import is_unicode
from common.errors import UserError
from common.files import read_json, write_json


class Labels:
    """The names of classes; unlike a vocabulary it has no special tokens and no unknown one.

    Args:
        names: in the order of their ids, from 0 on.

    Raises:
        ValueError: there is none, or one is there twice, or no Unicode text.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._ids = {name: number for number, name in enumerate(self.names)}
        if not names or len(self._ids) != len(self.names):
            raise ValueError(f"labels must be different, and at least one: {', '.join(names)}")
        if not is_unicode("".join(names)):
            raise ValueError("a label has a lone surrogate in it")

    @classmethod
    def of(cls, names: Iterable[str]) -> Labels:
        """The different labels among these, in code-point order."""
        return cls(sorted(set(names)))

    def encode(self, names: Iterable[str]) -> list[int]:
        """The id of each label, -1 for one that is not among them: no prediction equals it."""
        return [self._ids.get(name, -1) for name in names]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The label of each id."""
        return [self.names[number] for number in ids]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the names as a JSON list, atomically."""
        write_json(path, list(self.names))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Labels:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, or is no list of different names.
        """
        names = read_json(path)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path}: not a list of labels. Restore the file that the run wrote.")
        try:
            return cls(names)
        except ValueError as error:
            raise UserError(f"{path}: {error}. Restore the file that the run wrote.") from None

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)
