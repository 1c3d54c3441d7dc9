"""Progress on standard error: bars on a terminal and in a notebook, elsewhere a line now and then.

    with Bar("features", len(images), "images") as bar:
        for batch in batches:
            ...
            bar.advance(len(batch))

A file or a pipe gets no carriage returns: a first line after 10 seconds, and then one every 30 seconds.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, TypeVar

from common.errors import printable

Item = TypeVar("Item")

FIRST, THEN, LATER = (
    10.0,
    30.0,
    60.0,
)  # seconds before the first line, the next ones, and in the end
LONG = 600.0  # seconds after which lines come later
LONGEST = 100  # characters of a line
REDRAWN = 0.1  # seconds between two drawings of a bar

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """Show no progress inside: no bar, and no line but warnings and errors. False changes nothing."""
    token = _QUIET.set(quiet or _QUIET.get())
    try:
        yield
    finally:
        _QUIET.reset(token)


def is_quiet() -> bool:
    """Whether no progress is to be shown here."""
    return _QUIET.get()


def say(line: str) -> None:
    """Print a line on standard error, above the bars, unless it is to be quiet."""
    if not _QUIET.get():
        warn(line)


def warn(line: str) -> None:
    """Print a line on standard error, above the bars, also where it is to be quiet."""
    if sys.stderr is not None:
        _tqdm().write(line, file=sys.stderr)


def columns() -> int:
    """Characters that a line may have: those of the terminal, at most 100."""
    return min(LONGEST, shutil.get_terminal_size((LONGEST, 24)).columns)


def in_words(seconds: float) -> str:
    """A rounded duration, as "about 2 min 30 s"."""
    if seconds < 57.5:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    minutes, rest = divmod(10 * round(seconds / 10), 60)
    if minutes < 60:
        return f"about {minutes:.0f} min {rest:.0f} s" if rest else f"about {minutes:.0f} min"
    hours, minutes = divmod(10 * round(seconds / 600), 60)
    return f"about {hours:.0f} h {minutes:.0f} min" if minutes else f"about {hours:.0f} h"


class Bar:
    """A bar on a terminal or in a notebook; elsewhere a line now and then.

    Args:
        what: is in progress.
        total: how much there is to do; None: nobody knows.
        unit: what is counted, in the plural.
        done: how much was done before.
        keep: leave the full bar on the terminal.
        delay: seconds before a bar is shown.
        shape: of the bar, as tqdm's `bar_format` takes it.
        line: makes the line that stands for the bar; by default one of what is done and what is left.
            Called only when a line is due.
        shown: False shows nothing.
    """

    def __init__(
        self,
        what: str,
        total: float | None = None,
        unit: str = "",
        *,
        done: float = 0,
        keep: bool = False,
        delay: float = 0.0,
        shape: str | None = None,
        line: Callable[[], str] | None = None,
        shown: bool = True,
    ) -> None:
        self.what, self.total, self.unit, self.done = printable(what), total, unit, done
        self._line = self._left if line is None else line
        self._before, self._keep = done, keep
        self._began = self._last = time.perf_counter()
        self._shown = shown and not _QUIET.get() and sys.stderr is not None
        self._printed = False  # whether a line was
        self._bar: Any = None
        if self._shown and draws():
            self._bar = _tqdm()(
                desc=self.what, total=total, initial=done, unit=f" {unit}", leave=keep, delay=delay,
                bar_format=shape, dynamic_ncols=True, disable=False, file=sys.stderr,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def drawn(self) -> bool:
        """Whether there is a bar, and no lines."""
        return self._bar is not None

    def advance(self, by: float = 1) -> None:
        """So much more is done."""
        self.done += by
        if self._bar is not None:
            self._bar.update(by)
        elif self.due():
            self.show()

    def due(self) -> bool:
        """Whether it is time to `show` how far it is."""
        if not self._shown:
            return False
        now = time.perf_counter()
        wait = REDRAWN if self._bar is not None else THEN if self._printed else FIRST
        return now - self._last >= (LATER if self._printed and now - self._began > LONG else wait)

    def show(self, done: float | None = None, *, what: str | None = None, note: str = "") -> None:
        """Draw the bar, or print a line in its place.

        Args:
            done: how much is done.
            what: is in progress now.
            note: stands beside the bar.
        """
        self.done = self.done if done is None else done
        self.what = self.what if what is None else what
        self._last = time.perf_counter()
        if self._bar is not None:
            self._bar.n = self.done
            self._bar.set_description_str(self.what, refresh=False)
            self._bar.set_postfix_str(note, refresh=True)
        elif self._shown:
            self._printed = True
            warn(self._line())

    def note(self, text: str) -> None:
        """Put a note beside the bar, if there is one."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def hide(self) -> None:
        """Clear the bar, so that something else can be printed; it comes again."""
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        """Take the bar away. Where lines were printed, a last one says that all is done."""
        if self._bar is not None:
            if not self._keep:  # a notebook leaves a bar that is not full, as one of an error
                self._bar.total = self._bar.n
            self._bar.close()
        elif self._printed and self._line == self._left and self.done == self.total:
            warn(f"{self.what}: {self._amount(self.done)} in {self._elapsed()}")
        self._shown, self._bar = False, None

    def _left(self) -> str:
        if self.total is None:
            return f"{self.what}: {self._amount(self.done)} in {self._elapsed()}"
        part = f" of {self._amount(self.total)} ({self.done / max(self.total, 1e-9):.0%})"
        new, seconds = self.done - self._before, time.perf_counter() - self._began
        left = in_words(seconds * (self.total - self.done) / new) if new else "an unknown time"
        return f"{self.what}: {self.done:,}{part}, {left} left"

    def _amount(self, number: float) -> str:
        return f"{number:,} {self.unit}".rstrip()

    def _elapsed(self) -> str:
        return in_words(time.perf_counter() - self._began).removeprefix("about ")


def over(
    items: Iterable[Item], what: str, total: float | None = None, unit: str = "", **how: Any
) -> Iterator[Item]:
    """The items, with a `Bar` of how many were taken; its arguments are those of `Bar`."""
    with Bar(what, total, unit, **how) as bar:
        for item in items:
            yield item
            bar.advance()


def draws() -> bool:
    """Whether bars are drawn: in a notebook, and on a terminal that can go back in a line."""
    if _QUIET.get() or sys.stderr is None:
        return False
    notebook = sys.modules.get("tqdm.notebook")
    if notebook is not None and issubclass(_tqdm(), notebook.tqdm_notebook):
        return True
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _tqdm() -> Any:
    """The class of bars; in a notebook that of widgets, where they are installed."""
    with warnings.catch_warnings():  # it warns where they are not
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm
