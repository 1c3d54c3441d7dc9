"""What a training shows of itself while it runs: two bars, or a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.progress import Bar, in_words
from common.training.progress import Limits, Progress

WHOLE = "{desc} {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
EPOCH = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{unit}{postfix}"


class Display:
    """Shows a training on standard error.

    On a terminal there are two bars, one of the whole training with the time that is left, and one of
    the epoch; elsewhere a line comes every half a minute.

    Args:
        progress, limits: of the training.
        unit: in which the speed is counted, in the plural.
        newest: gives the loss and the speed of the updates since the last report, if there were any.
        group: batches that make one update, in all processes.
        validate_every: steps between validations; None: one after every epoch; 0: there are none.
        shown: False shows nothing.
    """

    def __init__(
        self,
        progress: Progress,
        limits: Limits,
        unit: str,
        newest: Callable[[], tuple[float, float] | None],
        *,
        group: int = 1,
        validate_every: int | None = None,
        shown: bool = True,
    ) -> None:
        self.progress, self.limits, self.unit, self.newest = progress, limits, unit, newest
        self.group, self.validate_every, self._shown = group, validate_every, shown
        self._whole = Bar("training", shown=False)
        self._epoch = Bar("epoch", shown=False)
        self._figures = ""
        self._from: tuple[float, int] | None = None  # the seconds and the steps of the beginning
        self._validations, self._validating = 0, 0.0  # how many there were, and their seconds

    def begin_epoch(self) -> None:
        """Show the bar of the present epoch, from its next batch on."""
        progress, limits = self.progress, self.limits
        self._epoch.close()
        if self._from is None:
            self._from = progress.seconds, progress.step
            self._whole = Bar("training", 1.0, shape=WHOLE, line=self.line, shown=self._shown)
        of_all = f" of {limits.epochs}" if limits.epochs is not None else ""
        self._epoch = Bar(
            f"epoch {progress.epoch + 1}{of_all}", progress.epoch_batches, "batches",
            done=progress.batch, shape=EPOCH, shown=self._shown and self._whole.drawn,
        )  # fmt: skip
        self._show_whole()

    def advance(self, batches: int) -> None:
        """An update has been made of so many batches."""
        self._epoch.advance(batches)
        self._show_whole()

    def figures(self, loss: float, speed: float) -> None:
        """Show the newest loss, and how many units are learnt from in a second."""
        self._figures = f"loss {loss:.4g}, {speed:,.0f} {self.unit}/s"
        self._epoch.note(self._figures)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """What is done inside is a validation, whose time is known for those to come."""
        start = time.perf_counter()
        yield
        self._validations += 1
        self._validating += time.perf_counter() - start

    def close(self) -> None:
        self._epoch.close()
        self._whole.close()

    def line(self) -> str:
        """Where the training is, in one line."""
        if (newest := self.newest()) is not None:
            self.figures(*newest)
        parts = [self._epoch.what, f"step {self.progress.step:,}"]
        parts += [self._figures] if self._figures else []
        if fraction := self._fraction():
            parts.append(f"{fraction:.0%}, {self.left()}")
        return "  ".join(parts)

    def left(self) -> str:
        """The time that is left, in words: at most so much, where patience may end it earlier."""
        progress, limits, bounds = self.progress, self.limits, list[float]()
        most, (begun, first) = limits.most_steps(self.epoch_steps), self._from or (0.0, 0)
        if most is not None and progress.step > first:
            to_do, updating = most - progress.step, progress.seconds - begun - self._validating
            every = self.validate_every or self.epoch_steps
            each = self._validating / max(1, self._validations)
            bounds.append(to_do * updating / (progress.step - first) + each * -(-to_do // every))
        if limits.minutes is not None:
            bounds.append(60 * limits.minutes - progress.seconds)
        if not bounds:
            return ""
        left = in_words(max(0.0, min(bounds)))
        if limits.patience is not None:
            left = left.replace("about", "at most")
        # Nobody knows yet what a validation takes.
        unknown = self.validate_every != 0 and not self._validations
        return f"{left} left{' and validations' if unknown else ''}"

    @property
    def epoch_steps(self) -> int:
        """Updates of an epoch."""
        return -(-self.progress.epoch_batches // self.group)

    def _fraction(self) -> float:
        return self.limits.fraction(self.progress, self.epoch_steps)

    def _show_whole(self) -> None:
        if self._whole.due():
            self._whole.show(self._fraction(), note=self.left())
