"""What an evaluation is of: after this its files are named, and this they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UserError


@dataclass(frozen=True)
class Subject:
    """A split of some data, and how sentences were written for it.

    Args:
        split: val, test, ...
        trained_on: the folder of the data that the run was trained on.
        data: the folder of the data that it is evaluated on.
        ensemble: runs that take part besides.
        search: how the run itself searches: `Search.to_dict`.
        asked: how it is searched now; as the run does if not given.
        others: what else is not as in training, by a short name.
        precision: what the search was computed in: fp32 or bf16.
    """

    split: str
    trained_on: Path
    data: Path
    ensemble: tuple[Path, ...] = ()
    search: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    precision: str | None = None

    @classmethod
    def of_run(
        cls, run: Path, split: str, *, trained_on: str, data: str | None, **others: Any
    ) -> Subject:
        """A split of the data that are named, or of those that the run was trained on.

        Args:
            run: its folder, for the message.
            split, trained_on, others: as the class takes them.
            data: a folder; None: where the run's own are.

        Raises:
            UserError: none is named, and the run's are not where they were.
        """
        if data is None and not Path(trained_on).exists():
            raise UserError(
                f"{trained_on}, the data of {run}, is no longer there. Say where: --data."
            )
        return cls(split, Path(trained_on), Path(data or trained_on), **others)

    @property
    def name(self) -> str:
        """Of the files: the split for what training itself evaluates, and longer for all else."""
        changed = dict(self.others)
        for option, value in (self.asked or {}).items():
            if self.search.get(option) != value:
                changed[option] = value
        parts = [self._data_name(), self.split]
        if self.ensemble:
            parts += ["ensemble", *(run.resolve().name for run in self.ensemble)]
        parts += [f"{option}-{value}" for option, value in sorted(changed.items())]
        return "-".join(part for part in parts if part)

    def said(self) -> dict[str, Any]:
        """What its file says besides the figures."""
        return {
            "data": str(self.data),
            "ensemble": [str(run) for run in self.ensemble],
            "search": dict(self.search if self.asked is None else self.asked),
            "precision": self.precision,
        }

    def _data_name(self) -> str:
        """Empty for the data that the run was trained on, also where they were moved."""
        ours, theirs = self.trained_on.resolve(), self.data.resolve()
        if ours == theirs or (ours.name == theirs.name and not ours.exists()):
            return ""
        return theirs.name if theirs.name != ours.name else "-".join(theirs.parts[-2:])
