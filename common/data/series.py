"""Series of numbers: a column of a CSV file, and the windows of it that a forecaster learns from."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from common.errors import UserError
from common.files import read_text

Scale: TypeAlias = Literal["linear", "log", "sqrt"]
HARMONICS = 3


def read_column(path: Path, column: str | None = None) -> np.ndarray:
    """The numbers (N,) of a column of a CSV file.

    The first line is one of names if that of the column is no number, or if all are 0, 1, 2, ...

    Args:
        path: the file.
        column: its name, or its number counted from 1; the last column by default.

    Raises:
        UserError: the file is missing, has no such column, or a line of it holds no number there.
    """
    rows = [(n, row) for n, row in enumerate(csv.reader(read_text(path).splitlines()), 1) if row]
    if not rows:
        raise UserError(f"{path}: an empty file.")
    names = [name.strip() for name in rows[0][1]]
    numbered = len(names) > 1 and names == [str(number) for number in range(len(names))]
    if column in names and (numbered or math.isnan(_number(column))):
        place = names.index(column)
    elif not column:
        place = len(names) - 1
    elif column.isdecimal() and 0 < int(column) <= len(names):
        place = int(column) - 1
    else:
        raise UserError(f"{path} has no column {column!r}; it has {', '.join(names)}.")
    if numbered or math.isnan(_number(names[place])):
        rows = rows[1:]
    values = [_number(row[place]) if place < len(row) else math.nan for _, row in rows]
    for (line, _), value in zip(rows, values, strict=True):
        if not math.isfinite(value):
            raise UserError(f"{path}:{line}: no number in column {names[place]!r}.")
    return np.array(values)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(frozen=True, eq=False)
class WindowedSeries:
    """A series as examples: what is known at an origin, and the values that follow it.

    What is forecast is the change against a season before, or the value itself where there is no
    season; it is scaled by the mean and the deviation of the past alone. Origins are indices of the
    first value that is forecast.

    Args:
        values: (N,) at equal steps of time.
        past: steps that may be learnt from; the values after them scale nothing.
        horizon: H, values to forecast.
        window: T, steps that are known, up to the one before the origin.
        season: steps of a season; 0 for none. At least `horizon`.
        cycles: periods in steps; three harmonics of each stand at every step of the window, for the
            step H later.
        scale: "log" where changes are in proportion, "sqrt" where values are counts.

    Raises:
        ValueError: a season shorter than the horizon, a cycle shorter than two steps, or a value
            that has no logarithm or root.
    """

    values: np.ndarray
    past: int
    horizon: int
    window: int
    season: int = 0
    cycles: Sequence[float] = ()
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        if 0 < self.season < self.horizon:
            raise ValueError(f"a season of {self.season} steps is shorter than the horizon")
        if any(period < 2 for period in self.cycles):
            raise ValueError("a cycle takes at least two steps")
        least = self.values.min()
        if (self.scale == "log" and least <= 0) or (self.scale == "sqrt" and least < 0):
            raise ValueError(f"the {self.scale} of a value, {least:g}, is not defined")

    def origins(self, start: int, end: int, stride: int = 1) -> np.ndarray:
        """The origins of windows and forecasts that lie within steps start to end, one in `stride`,
        so that the last forecast ends with the last step."""
        first, last = start + self.season + self.window, end - self.horizon
        return np.arange(last, first - 1, -stride)[::-1]

    @cached_property
    def _level(self) -> np.ndarray:
        """(N,) the values in the units of `scale`."""
        if self.scale == "linear":
            return self.values
        return np.log(self.values) if self.scale == "log" else np.sqrt(self.values)

    @cached_property
    def _changes(self) -> tuple[np.ndarray, float, float]:
        """(N,) changes, and the mean and deviation of those of the past by which they are scaled."""
        changes = self._level.copy()
        changes[self.season :] -= self._level[: -self.season] if self.season else 0.0
        past = changes[self.season : self.past]
        mean, deviation = float(past.mean()), float(past.std()) or 1.0
        return (changes - mean) / deviation, mean, deviation

    def inputs(self, origins: np.ndarray) -> np.ndarray:
        """(B, T, F) the scaled values of each window, and the cycles."""
        steps = origins[:, None] + np.arange(-self.window, 0)  # (B, T)
        periods = [period / k for period in self.cycles for k in range(1, HARMONICS + 1)]
        angles = [2 * np.pi * (steps + self.horizon) / period for period in periods]
        waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
        return np.stack([self._changes[0][steps], *waves], axis=2).astype(np.float32)

    def features(self, origins: np.ndarray) -> np.ndarray:
        """(B, T + C) the values of each window and the cycles of its last step, for a regression."""
        inputs = self.inputs(origins).astype(np.float64)
        return np.concatenate([inputs[:, :, 0], inputs[:, -1, 1:]], axis=1)

    def targets(self, origins: np.ndarray) -> np.ndarray:
        """(B, H) the scaled values that follow each origin."""
        return self._changes[0][self.steps(origins)].astype(np.float32)

    def simple(self, origins: np.ndarray) -> dict[str, np.ndarray]:
        """Forecasts (B, H), scaled, that need no learning, by name.

        `last` is the last value; where there is a season, `season` is the value a season before, and
        `growth` the same with the mean change of the window.
        """
        _, mean, deviation = self._changes
        known = self.inputs(origins)[:, :, 0]
        found = {"last": known[:, -1]}
        if self.season:
            found = {"season": np.full(len(origins), -mean / deviation), "growth": known.mean(1)}
        return {name: np.repeat(each[:, None], self.horizon, 1) for name, each in found.items()}

    def steps(self, origins: np.ndarray) -> np.ndarray:
        """(B, H) the indices of the values that follow each origin."""
        return origins[:, None] + np.arange(self.horizon)

    def forecasts(self, scaled: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """(B, H) in the units of the series, from scaled ones."""
        _, mean, deviation = self._changes
        level = mean + deviation * scaled
        if self.season:
            level = level + self._level[self.steps(origins) - self.season]
        if self.scale == "log":
            return np.exp(level)
        return np.square(level.clip(min=0)) if self.scale == "sqrt" else level
