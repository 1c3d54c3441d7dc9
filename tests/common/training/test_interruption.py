"""Signals that ask a training to stop, sent to a real process."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LISTENS = """
import sys, time
from common.training.interruption import Interruption
saved = sys.argv[1]
with Interruption().listening() as interruption:
    print("ready", flush=True)
    for _ in range(500):
        time.sleep(0.01)
        if interruption.requested:
            print("saving", flush=True)
            print("saving", file=sys.stderr, flush=True)
            open(saved, "w").close()
            break
"""


def listening(saved: Path, **how: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", LISTENS, str(saved)], cwd=ROOT, **how)


def test_a_terminal_that_is_closed_does_not_stop_the_saving(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = listening(
        tmp_path / "saved", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    assert b"ready" in os.read(ours, 100)
    os.close(ours)  # whatever the process writes from here on is an error
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 0
    assert (tmp_path / "saved").exists()


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    process = listening(
        tmp_path / "saved", stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),  # noqa: PLW1509
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"saving\n"
    assert process.wait(20) == 0
