"""The losses of the last updates: kept on the device, and read only now and then."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.compute.device import peak_memory, to_host
from common.errors import UserError
from common.training.loss import Figures, Loss, mean_of_sums


class Meter:
    """Collects what the updates since the last report give.

    `add` never waits for the device: it keeps the tensors. `read` fetches all of them at once.

    Args:
        figures: makes what is reported of the sums of the losses and of what they are over.
        unit: what the count of a loss counts, in the plural; the speed is reported in it.
    """

    def __init__(self, figures: Figures = mean_of_sums, unit: str = "examples") -> None:
        self.figures = figures
        self.unit = unit
        self._unread: list[tuple[Loss, Tensor, int, int]] = []
        self.rows: list[dict[str, Any]] = []  # what is known of each update
        self._clocked = 0  # the rows from here on are of the time since _started
        self._started = time.perf_counter()

    def __len__(self) -> int:
        return len(self.rows) + len(self._unread)

    def add(self, loss: Loss, gradient_norm: Tensor, examples: int, step: int) -> None:
        """Take in one update: that number `step`, counted from 1."""
        self._unread.append((loss, gradient_norm, examples, step))

    def read(self) -> None:
        """Fetch what was added.

        Raises:
            UserError: a loss or a gradient is NaN or infinite; the first such step is named.
        """
        if not self._unread:
            return
        unread, self._unread = self._unread, []
        names = list(unread[0][0].sums)
        tensors = [
            [loss.value, norm, loss.count, *(loss.sums[name] for name in names)]
            for loss, norm, *_ in unread
        ]
        columns = to_host([torch.stack(column) for column in zip(*tensors, strict=True)])
        numbers = zip(*(column.tolist() for column in columns), strict=True)
        for (*_, examples, step), (value, norm, count, *sums) in zip(unread, numbers, strict=True):
            for what, number in (("loss", value), ("gradient", norm)):
                if not math.isfinite(number):
                    raise diverged(what, number, step)
            row = {"value": value, "norm": norm, "count": count, "examples": examples}
            self.rows.append(row | {"sums": dict(zip(names, sums, strict=True))})

    def restart_clock(self) -> None:
        """Leave out of the speeds what was until now: a validation, the time before a resume."""
        self.read()
        self._clocked = len(self.rows)
        self._started = time.perf_counter()

    def report(self) -> tuple[dict[str, float], dict[str, float]]:
        """What the updates since the last report give, by name; then begin anew.

        Returns:
            The mean `loss`, its figures, and the mean `gradient_norm`; and the speeds, none if no
            update was timed.
        """
        self.read()
        count = math.fsum(row["count"] for row in self.rows)
        sums = {
            name: math.fsum(row["sums"][name] for row in self.rows) for name in self.rows[0]["sums"]
        }
        total = math.fsum(row["value"] * row["count"] for row in self.rows)
        figures = {"loss": total / max(1, count), **self.figures(sums, count)}
        norms = math.fsum(row["norm"] for row in self.rows)
        figures["gradient_norm"] = norms / len(self.rows)
        seconds = time.perf_counter() - self._started
        clocked = self.rows[self._clocked :]
        speeds = {
            f"{unit}_per_second": sum(row[column] for row in clocked) / seconds
            for unit, column in ((self.unit, "count"), ("examples", "examples"))
            if clocked
        }
        self.rows.clear()
        self._clocked, self._started = 0, time.perf_counter()
        return figures, speeds

    def state_dict(self) -> dict[str, Any]:
        self.read()
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._unread = [dict(row) for row in state["rows"]], []
        self.restart_clock()


def diverged(what: str, value: float, step: int) -> UserError:
    """The error of a training that cannot go on."""
    return UserError(
        f"the {what} became {value} at step {step}. Lower the learning rate or the norm that "
        "gradients are clipped to, and start again; the last sound weights and state are kept."
    )


def memory_in_use(device: torch.device) -> dict[str, float]:
    """Memory in GiB by name: of this process, and the most of the GPU since the last report."""
    figures = {}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        figures["memory/process_gib"] = pages * os.sysconf("SC_PAGE_SIZE") / 2**30
    peak = peak_memory(device)
    if peak is not None:
        figures["memory/gpu_peak_gib"] = peak / 2**30
    return figures
