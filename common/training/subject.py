"""Identifies an evaluation: its files are named by it, and record it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UserError


@dataclass(frozen=True)
class Subject:
    """A split of some data, and how it was evaluated.

    Args:
        split: val, test, ...
        trained_on: the folder of the data that the run was trained on; None where it has none, as
            with data that an experiment makes.
        data: the folder of the data that it is evaluated on.
        ensemble: runs that take part besides.
        changed: what is otherwise than in training, by a short name.
    """

    split: str
    trained_on: Path | None = None
    data: Path | None = None
    ensemble: tuple[Path, ...] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_run(
        cls, run: Path, split: str, options: Any, data: str | Path | None = None, **others: Any
    ) -> Subject:
        """A split of the data that are named, or of those that the run was trained on.

        Args:
            run: its folder, for the message.
            options: those of the run; their `data`, if they have it, is what it was trained on.
            data: a folder; None: where the run's own are.
            split, others: as the class takes them.

        Raises:
            UserError: none is named, and the run's are not where they were.
        """
        ours = getattr(options, "data", None)
        ours = None if ours is None else Path(ours)
        if data is None and ours is not None and not ours.exists():
            raise UserError(f"{ours}, the data of {run}, is no longer there. Say where: --data.")
        return cls(split, ours, ours if data is None else Path(data), **others)

    @property
    def name(self) -> str:
        """Of the files: the split for what training itself evaluates, and longer for all else."""
        parts = [self._data_name(), self.split]
        if self.ensemble:
            parts += ["ensemble", *(run.resolve().name for run in self.ensemble)]
        parts += [f"{option}-{value}" for option, value in sorted(self.changed.items())]
        return "-".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """What its file records besides the metrics."""
        data = None if self.data is None else str(self.data)
        return {"data": data, "ensemble": [str(run) for run in self.ensemble]}

    def _data_name(self) -> str:
        """Empty for the data that the run was trained on, also where they were moved."""
        if self.data is None or self.trained_on is None:
            return ""
        ours, theirs = self.trained_on.resolve(), self.data.resolve()
        if ours == theirs or (ours.name == theirs.name and not ours.exists()):
            return ""
        return theirs.name if theirs.name != ours.name else "-".join(theirs.parts[-2:])
