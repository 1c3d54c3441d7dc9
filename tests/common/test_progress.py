"""Progress: bars on a terminal, lines now and then elsewhere, and nothing where it is to be quiet."""

from __future__ import annotations

import ast
import os
import pty
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

from common import progress
from common.progress import Bar, in_words, over, quietly, say, warn

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    """Stands for the time."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def on_a_terminal(code: str, columns: int = 80, **environment: str) -> str:
    """What a program writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, cwd=ROOT,
        env=os.environ | {"TERM": "xterm"} | environment,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() == 0, written
    return written.decode()


def test_no_module_makes_a_bar_of_its_own():
    """Otherwise it would write carriage returns into a log, and not be quiet."""
    for package in ("common", "captioning", "seq2seq", "experiments"):
        for file in (ROOT / package).rglob("*.py"):
            names = {
                alias.name
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert "tqdm" not in names or file.name == "progress.py", file


def test_a_log_gets_lines_and_no_carriage_returns(clock, capsys):
    with Bar("features of net", 1000, "images") as bar:
        for _ in range(100):
            clock.now += 1
            bar.advance(10)
    lines = capsys.readouterr().err
    assert lines.splitlines() == [
        "features of net: 100 of 1,000 images (10%), about 1 min 30 s left",
        "features of net: 400 of 1,000 images (40%), about 1 min left",
        "features of net: 700 of 1,000 images (70%), about 30 s left",
        "features of net: 1,000 of 1,000 images (100%), about 5 s left",
        "features of net: 1,000 images in 1 min 40 s",
    ]
    assert "\r" not in lines


def test_what_takes_a_moment_writes_nothing_into_a_log(clock, capsys):
    for _ in over(range(9), "reading", 9, "lines"):
        clock.now += 1
    assert capsys.readouterr().err == ""


def test_lines_come_later_where_it_takes_long(clock, capsys):
    with Bar("reading", unit="lines") as bar:
        for _ in range(3600):
            clock.now += 1
            bar.advance()
    assert 60 < len(capsys.readouterr().err.splitlines()) < 90


def test_what_was_done_before_is_not_counted_in_the_time_that_is_left(clock, capsys):
    with Bar("features", 1000, "images", done=900) as bar:
        clock.now += 10
        bar.advance(10)
    assert "910 of 1,000 images (91%), about 1 min 30 s left" in capsys.readouterr().err


def test_quiet_shows_warnings_alone(clock, capsys):
    with quietly(), Bar("features", 10, "images") as bar:
        clock.now += 100
        bar.advance()
        say("a table")
        warn("a warning")
        with quietly(False):  # somebody inside does not ask for it
            say("more")
    say("and again")
    assert capsys.readouterr().err == "a warning\nand again\n"


def test_without_standard_error_nothing_is_written(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with Bar("features", 10, "images") as bar:
        bar.advance(10)
    say("a line")


def test_names_cannot_command_the_terminal(clock, capsys):
    with Bar("reading \x1b]0;a\x07.vec", 2, "lines") as bar:
        clock.now += 100
        bar.advance()
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("columns", [80, 100])
def test_a_terminal_gets_a_bar_that_fits_it(columns):
    written = on_a_terminal(
        "from common.progress import over, say\n"
        "for n in over(range(3), 'drawing ' + 60 * 'x', 3, 'scenes'):\n    say(f'line {n}')",
        columns,
    )
    assert "line 2" in written and "\r" in written
    assert max(map(len, re.split(r"[\r\n]+|\x1b\[A", written))) <= columns


def test_a_terminal_that_cannot_go_back_gets_no_bar():
    written = on_a_terminal(
        "from common.progress import over\nlist(over(range(3), 'drawing', 3))", TERM="dumb"
    )
    assert written == ""


def test_a_notebook_without_widgets_gets_lines_and_no_warning(monkeypatch, clock, capsys):
    shell = types.SimpleNamespace(get_ipython=lambda: None)
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", types.ModuleType("zmqshell"))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    for name in ("tqdm.auto", "tqdm.autonotebook", "tqdm.notebook"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Bar("reading", 100, "lines") as bar:
            clock.now += 20
            bar.advance(50)
    assert capsys.readouterr().err.startswith("reading: 50 of 100 lines (50%)")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "about 5 s"), (58, "about 1 min"), (150, "about 2 min 30 s"), (7300, "about 2 h"),
     (3599, "about 1 h"), (5400, "about 1 h 30 min")],
)  # fmt: skip
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words
