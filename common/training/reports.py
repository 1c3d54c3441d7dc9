"""What a training reports while it goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import islice

import torch

from common.training.meter import Meter, memory_in_use
from common.training.progress import Progress
from common.training.tracking import Tracker


@dataclass(eq=False)
class Reports:
    """Figures for the tracker, and lines for who watches.

    Args:
        tracker: where they go.
        meter: has the losses of the updates since the last report.
        optimizer: its learning rates are reported.
        progress: when it is.
        monitor: the metric that chooses the best weights; None if none does.
    """

    tracker: Tracker
    meter: Meter
    optimizer: torch.optim.Optimizer
    progress: Progress
    monitor: str | None = None
    _newest_loss: float = field(default=math.nan, init=False)

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
        shown = {name: f"{value:.4g}" for name, value in figures.items() if name != "gradient_norm"}
        unit = self.meter.unit
        speed = {unit: f"{speeds.get(f'{unit}_per_second', 0):,.0f}/s"}
        self.tracker.show(**dict(islice(shown.items(), 3)) | speed)  # the loss and two figures

    def validation(self, metrics: dict[str, float], *, improved: bool) -> None:
        """Report a validation.

        Args:
            metrics: what it gave; empty if there is nothing to validate with.
            improved: whether these are the best so far.
        """
        self._track({f"validation/{name}": value for name, value in metrics.items()})
        if metrics and improved:
            self.tracker.best(metrics)
        listed = "".join(f"  {name} {value:.4g}" for name, value in metrics.items())
        self.tracker.say(
            f"epoch {self.progress.epoch + 1}  step {self.progress.step}"
            f"  training loss {self._newest_loss:.4g}{'  |  validation' if metrics else ''}{listed}"
            f"{'  (best so far)' if improved and self.monitor else ''}"
        )

    def end(self) -> None:
        """Say why training ended, and with which weights."""
        progress = self.progress
        best = f", best at step {progress.best_step}" if self.monitor else ""
        self.tracker.say(f"finished after step {progress.step}: {progress.finished}{best}")

    def _track(self, figures: dict[str, float]) -> None:
        if figures:
            seconds = round(self.progress.seconds, 2)
            self.tracker.scalars(figures, epoch=self.progress.epoch + 1, seconds=seconds)
