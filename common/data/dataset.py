"""A data set: items by split, and what was wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from common.data.damage import Tally
from common.data.splits import in_order, named_split
from common.errors import UserError, printable
from common.progress import say, warn

Items = TypeVar("Items", bound=Sized)


@dataclass
class DataSet(Generic[Items]):
    """A data set.

    Args:
        name: of the folder.
        format: as which it was read.
        splits: the items of each split; train, val and test are put first.
        damage: of each kind of item, how many there are, and the damaged ones, which are skipped.
        notes: remarks on what is unusual, but no damage.
    """

    name: str
    format: str
    splits: dict[str, Items]
    damage: Mapping[str, Tally] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    item: ClassVar[str] = "item"  # what the messages call one
    advice: ClassVar[str] = ""  # how to add a split

    def __post_init__(self) -> None:
        self.splits = in_order(self.splits)

    @property
    def problems(self) -> list[str]:
        """What is wrong with the damaged items, one line each, with file and line."""
        return [line for tally in self.damage.values() for line in tally.problems]

    def split(self, name: str) -> Items:
        """The items of one split.

        Raises:
            UserError: there is no such split, or it is empty.
        """
        where = f"{self.name} ({self.format})"
        return named_split(self.splits, name, where, self.item, self.advice)

    def check(self, path: Path, max_problems: float, *, lost: Collection[str] = ()) -> None:
        """Refuse a data set with too much damage, or without any item.

        Args:
            path: where it was read from, for the message.
            max_problems: the largest accepted fraction of damaged items of a kind.
            lost: splits of which every item is damaged.

        Raises:
            UserError: more items are damaged, or there is none.
        """
        usable = any(map(len, self.splits.values()))
        lost = {*lost} | {name for name, items in self.splits.items() if not len(items)}
        helps = usable and not lost & {"train", "val"}  # without which nothing is learnt
        # The most damaged first: the limit that its message names is high enough for the others.
        for items, tally in sorted(self.damage.items(), key=lambda each: -each[1].fraction):
            tally.check(max_problems, str(path), items, helps=helps)
        if not usable:
            raise UserError(f"{path}: no usable {self.item} in it, read as {self.format}.")

    def table(self) -> list[str]:
        """The first lines of the summary: a title, and the size of each split."""
        sizes = (f"{name:<20}{len(items):>12,}" for name, items in self.splits.items())
        return [f"{self.name} ({self.format})", *sizes]

    def summary(self, problems: int = 5) -> str:
        """The table, the notes, and the first few problems: several lines."""
        return "\n".join(map(printable, self.table() + self.remarks(problems)))

    def remarks(self, problems: int = 5) -> list[str]:
        """The last lines of the summary: the notes, and the first few problems."""
        lines = [f"note: {note}" for note in self.notes]
        lines += [f"problem: {each}" for each in self.problems[:problems]]
        if len(self.problems) > problems:
            lines.append(f"... and {len(self.problems) - problems:,} more problems")
        return lines

    def report(self) -> None:
        """Print the summary on standard error; where it is to be quiet, the remarks alone."""
        for print_line, lines in ((say, self.table()), (warn, self.remarks())):
            for line in lines:
                print_line(printable(line))
