"""A data set: items by split, and what was wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from common.data.damage import Tally
from common.data.reading import check_encoded
from common.data.splits import SeededSplits, in_order, named_split
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
        advice: what a message about a missing split ends with: how to add it.
    """

    name: str
    format: str
    splits: dict[str, Items]
    damage: Mapping[str, Tally] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    advice: str = field(default="", kw_only=True)

    item: ClassVar[str] = "item"  # what the messages call one

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

    def note_splits(self, drawn: SeededSplits, origin: str | None, given: bool) -> None:
        """Note which splits were drawn, and what a message about a missing split is to advise.

        Args:
            drawn: what drew them.
            origin: the split that they were drawn from; None for data without splits.
            given: whether the fraction for validation was chosen for these data.
        """
        fraction = f"{100 * drawn.val_fraction:g} %"
        if not drawn.used:
            if given and "val" in self.splits:
                self.notes.append("the data have a split val: --val-fraction changes nothing")
        elif drawn.single and drawn.val_fraction:
            self.advice = (
                f" A single {self.item} cannot be both trained on and held out: add another, or let "
                "--val-fraction 0 validate on the training data (val_fraction=0 in code)."
            )
        elif origin == "train" and drawn.val_fraction:
            self.notes.append(f"no split val: {fraction} of train becomes val (--val-fraction)")
        elif origin == "val":
            rest = f", but for {fraction} that stays val" if drawn.val_fraction else ""
            self.notes.append(f"no split train: val becomes train{rest} (--val-fraction)")

    def validate_on_training(self) -> None:
        """Without a split val, take the training data for it: whether they are memorised."""
        if "val" not in self.splits and "train" in self.splits:
            self.splits = in_order(self.splits | {"val": self.splits["train"]})
            self.notes.append(
                "validation is on the training data themselves: whether they are memorised "
                "(--val-fraction 0)"
            )

    def check(
        self, path: Path, max_problems: float, files: Sequence[Path] = (), *,
        lost: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Refuse a data set with too much damage, or without any item.

        Args:
            path: where it was read from, for the message.
            max_problems: the largest accepted fraction of damaged items of a kind.
            files: the text files of it, which may be in another encoding than was thought.
            lost: splits of which every item is damaged.

        Raises:
            UserError: more items are damaged, or there is none.
        """
        usable = any(map(len, self.splits.values()))
        worst = max((tally.fraction for tally in self.damage.values()), default=0.0)
        if worst > max_problems or worst == 1 or not usable:
            for file in files:
                check_encoded(file)
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
