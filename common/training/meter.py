"""What a training reports: the losses of the last updates, read from the device only now and then."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass, field
from operator import mul
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.compute.device import peak_memory, to_host
from common.errors import UserError
from common.progress import columns
from common.training.display import Display
from common.training.loss import Figures, Loss, mean_of_sums
from common.training.progress import Progress
from common.training.tracking import Tracker

BEST = "  (best)"
UNMOVED = 3  # validations that repeat the monitored metric, until that is said


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
        # Of each update: its examples, loss, norm, count, and the sums by these names.
        self.rows: list[tuple[float, ...]] = []
        self.names: list[str] = []
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
        unread, self._unread = self._unread, []
        if not unread:
            return
        self.names = list(unread[0][0].sums)
        tensors = [
            (loss.value, norm, loss.count, *(loss.sums[name] for name in self.names))
            for loss, norm, *_ in unread
        ]
        columns = to_host([torch.stack(column) for column in zip(*tensors, strict=True)])
        numbers = zip(*(column.tolist() for column in columns), strict=True)
        for (*_, examples, step), row in zip(unread, numbers, strict=True):
            for what, number in zip(("loss", "gradient"), row, strict=False):
                if not math.isfinite(number):
                    raise diverged(what, number, step)
            self.rows.append((examples, *row))

    def restart_clock(self) -> None:
        """Leave out of the speeds what was until now: a validation, the time before a resume."""
        self.read()
        self._clocked = len(self.rows)
        self._started = time.perf_counter()

    def newest(self) -> tuple[float, float] | None:
        """The mean loss of the updates since the last report, and the units of a second.

        None where nothing was timed, and on a GPU, for which the host would have to wait.
        """
        if self._unread and self._unread[0][0].value.device.type == "cpu":
            self.read()
        timed = self.rows[self._clocked :]
        if not timed:
            return None
        _, values, _, counts, *_ = zip(*timed, strict=True)
        total = math.fsum(counts)
        loss = math.fsum(map(mul, values, counts)) / max(1, total)
        return loss, total / (time.perf_counter() - self._started)

    def report(self) -> tuple[dict[str, float], dict[str, float]]:
        """What the updates since the last report give, by name; then begin anew.

        Returns:
            The mean `loss`, its figures, and the mean `gradient_norm`; and the speeds, none if no
            update was timed.
        """
        self.read()
        examples, values, norms, counts, *sums = zip(*self.rows, strict=True)
        count = math.fsum(counts)
        named = zip(self.names, map(math.fsum, sums), strict=True)
        figures = {
            "loss": math.fsum(map(mul, values, counts)) / max(1, count),
            **self.figures(dict(named), count),
            "gradient_norm": math.fsum(norms) / len(norms),
        }
        seconds = time.perf_counter() - self._started
        speeds = {
            f"{unit}_per_second": sum(column[self._clocked :]) / seconds
            for unit, column in ((self.unit, counts), ("examples", examples))
            if column[self._clocked :]
        }
        self.rows.clear()
        self.restart_clock()
        return figures, speeds

    def state_dict(self) -> dict[str, Any]:
        self.read()
        return {"rows": self.rows, "names": self.names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        rows = [tuple(map(float, row)) for row in state["rows"]]
        if not all(len(row) == 4 + len(state["names"]) for row in rows):
            raise ValueError("a row of the meter is not of its names")
        self.rows, self.names, self._unread = rows, state["names"], []
        self.restart_clock()


@dataclass(eq=False)
class Reports:
    """Figures for the tracker, and lines for who watches.

    Args:
        tracker, optimizer, monitor: as `Trainer` takes them.
        meter: has the losses of the updates since the last report.
        progress: when it is.
        display: gets the newest ones.
    """

    tracker: Tracker
    meter: Meter
    optimizer: torch.optim.Optimizer
    progress: Progress
    display: Display
    monitor: str | None = None
    _newest_loss: float = field(default=math.nan, init=False)

    def __post_init__(self) -> None:
        self.tracker.monitor, self.tracker.unit = self.monitor, self.meter.unit

    def training(self, device: torch.device) -> None:
        """Report the updates since the last report; this waits for the device."""
        figures, speeds = self.meter.report()
        self._newest_loss = figures["loss"]
        # The learning rates of the next update, one for all groups that share it.
        rates = enumerate(dict.fromkeys(group["lr"] for group in self.optimizer.param_groups))
        named = figures | {f"learning_rate{f'_{n}' if n else ''}": rate for n, rate in rates}
        named = {f"train/{name}": value for name, value in named.items()}
        named |= {f"speed/{name}": value for name, value in speeds.items()}
        self._track(named | memory_in_use(device))
        speed = speeds.get(f"{self.meter.unit}_per_second", 0.0)
        self.display.figures(figures["loss"], speed)

    def validation(self, metrics: dict[str, float], *, improved: bool) -> None:
        """Report a validation.

        Args:
            metrics: what it gave; empty if there is nothing to validate with.
            improved: whether these are the best so far.
        """
        self._track({f"validation/{name}": value for name, value in metrics.items()})
        if metrics and improved:
            self.tracker.best(metrics)
        self.tracker.say(self._line(metrics, improved))
        if self.monitor and self.progress.unmoved == UNMOVED:
            chooses = "; the lower loss chooses" if "loss" in metrics else ""
            self.tracker.say(
                f"{self.monitor} was {metrics[self.monitor]:.4g} in each of the last {UNMOVED + 1} "
                f"validations: it cannot tell their weights apart{chooses}"
            )

    def end(self) -> None:
        """Say why training ended, and with which weights."""
        progress, best = self.progress, ""
        if self.monitor and progress.best_step:
            value = progress.best_metrics[self.monitor]
            epoch = f"epoch {progress.best_epoch}, " if progress.best_epoch else ""
            best = f"; best {self.monitor} {value:.4g} at {epoch}step {progress.best_step}"
        self.tracker.say(f"finished after step {progress.step}: {progress.finished}{best}")

    def _line(self, metrics: dict[str, float], improved: bool) -> str:
        """What a validation gave, of which as much as fits a line: the monitored metric first."""
        monitor = self.monitor if self.monitor in metrics else None
        names = dict.fromkeys([*([monitor] if monitor else []), "loss", *metrics])
        end = BEST if improved and self.monitor else ""
        line = f"epoch {self.progress.epoch + 1}  step {self.progress.step}"
        line += f"  loss {self._newest_loss:.4g}{'  validation:' if metrics else ''}"
        for name in names:
            part = f"  {name} {metrics[name]:.4g}" if name in metrics else ""
            if name == monitor or len(line) + len(part) + len(BEST) <= columns():
                line += part
        return line + end

    def _track(self, figures: dict[str, float]) -> None:
        if figures:
            seconds = round(self.progress.seconds, 2)
            self.tracker.scalars(figures, epoch=self.progress.epoch + 1, seconds=seconds)


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
