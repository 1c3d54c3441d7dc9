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
from common.training.loss import Loss

VALUE, NLL, CORRECT, TOKENS, NORM, EXAMPLES, STEP = range(7)


class Meter:
    """Collects what the updates since the last report give.

    `add` never waits for the device: it keeps the tensors. `read` fetches all of them at once.
    """

    def __init__(self) -> None:
        self._unread: list[tuple[Loss, Tensor, int, int]] = []
        self.rows: list[list[float]] = []  # of every update: value, nll, correct, ...
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
        losses, norms, examples, steps = zip(*self._unread, strict=True)
        stacked = to_host([torch.stack(column) for column in (*zip(*losses, strict=True), norms)])
        columns = [*(column.tolist() for column in stacked), list(examples), list(steps)]
        self._unread.clear()
        for row in map(list, zip(*columns, strict=True)):
            for what, column in (("loss", VALUE), ("gradient", NORM)):
                if not math.isfinite(row[column]):
                    raise diverged(what, row[column], row[STEP])
            self.rows.append(row)

    def restart_clock(self) -> None:
        """Leave out of the speeds what was until now: a validation, the time before a resume."""
        self.read()
        self._clocked = len(self.rows)
        self._started = time.perf_counter()

    def report(self) -> dict[str, float]:
        """The figures of the updates since the last report, by their names; then begin anew.

        `train/perplexity` is teacher-forced, and of the likelihood alone: without smoothing.
        """
        self.read()
        total = [math.fsum(column) for column in zip(*self.rows, strict=True)]
        tokens = max(1, total[TOKENS])
        figures = {
            "train/loss": math.fsum(row[VALUE] * row[TOKENS] for row in self.rows) / tokens,
            "train/perplexity": perplexity(total[NLL], tokens),
            "train/token_accuracy": total[CORRECT] / tokens,
            "train/gradient_norm": total[NORM] / len(self.rows),
        }
        clocked = self.rows[self._clocked :]
        seconds = time.perf_counter() - self._started
        if clocked:
            figures["speed/tokens_per_second"] = sum(row[TOKENS] for row in clocked) / seconds
            figures["speed/examples_per_second"] = sum(row[EXAMPLES] for row in clocked) / seconds
        self.rows.clear()
        self._clocked, self._started = 0, time.perf_counter()
        return figures

    def state_dict(self) -> dict[str, Any]:
        self.read()
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._unread = [list(row) for row in state["rows"]], []
        self.restart_clock()


def diverged(what: str, value: float, step: int) -> UserError:
    """The error of a training that cannot go on."""
    return UserError(
        f"the {what} became {value} at step {step}. Lower the learning rate or the norm that "
        "gradients are clipped to, and start again; the last sound weights and state are kept."
    )


def perplexity(nll: float, tokens: float) -> float:
    """exp(nll / tokens), infinite where that is beyond a float."""
    try:
        return math.exp(nll / max(1, tokens))
    except OverflowError:
        return math.inf


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
