"""Jobs run in processes of their own: one failure ends all of them, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import UserError
from experiments.parallel.job import Job, Report
from experiments.parallel.side_by_side import in_words, run_side_by_side, time_left

ROOT = Path(__file__).resolve().parents[2]


def count(report: Report, file: Path, steps: int, pause: float = 0.0) -> int:
    """Takes some steps, and writes down when each was taken."""
    for step in range(steps):
        with open(file, "a") as lines:
            lines.write(f"{time.monotonic()}\n")
        time.sleep(pause)
        report((step + 1) / steps)
    return steps


def sleep(report: Report, pid: Path) -> None:
    """Sleeps for long, with a child of its own; writes down the ids of both."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pid.write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def with_workers(report: Report) -> list[int]:
    """Reads by worker processes of its own, as a data loader does."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.map(abs, [-1, 2])


def fail(report: Report, kind: str, after: Path) -> None:
    """Fails in some way, once a file is there."""
    while not (after.is_file() and after.read_text()):
        time.sleep(0.05)
    print("what it printed")
    if kind == "user":
        raise UserError("the data is wrong. Mend it.")
    if kind == "defect":
        raise KeyError("a defect")
    if kind == "file":
        open("/nowhere/file")  # noqa: SIM115
    os._exit(7)


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process ends within some seconds; one that nobody waited for has ended, too."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_time_left_is_that_of_the_fullest_core() -> None:
    assert time_left([60, 30, 20], 3) == 60
    assert time_left([60, 30, 20], 2) == 60
    assert time_left([60, 50, 20], 2) == 70
    assert time_left([60, 50, 20], 1) == 130
    assert time_left([0, 0], 2) == 0


def test_durations_are_rounded() -> None:
    assert in_words(2) == "about 5 s"
    assert in_words(33) == "about 35 s"
    assert in_words(59) == "about 1 min"
    assert in_words(118) == "about 2 min"
    assert in_words(147) == "about 2 min 30 s"


@pytest.mark.parametrize("at_once", [1, 3])
def test_each_job_returns_its_result_and_the_time_is_announced(tmp_path, at_once) -> None:
    lines: list[str] = []
    jobs = [Job(f"job {n}", count, (tmp_path / str(n), 60 + n, 0.02)) for n in range(3)]
    found = run_side_by_side(jobs, tmp_path / "logs", at_once=at_once, announce=lines.append)
    assert found == {"job 0": 60, "job 1": 61, "job 2": 62}
    assert len(lines) == 1 and lines[0].startswith("this will take about 5 s")
    times = [list(map(float, (tmp_path / str(n)).read_text().split())) for n in range(3)]
    steps = sorted((moment, n) for n, moments in enumerate(times) for moment in moments)
    order = [n for _, n in steps]
    changes = sum(before != after for before, after in zip(order, order[1:], strict=False))
    if at_once == 1:  # first the first steps of each, then the rest of each
        assert changes <= 5 and order[:40] == [0] * 40
    else:
        assert changes > 5


def test_a_job_may_start_processes(tmp_path) -> None:
    found = run_side_by_side([Job("job", with_workers)], tmp_path, announce=lambda line: None)
    assert found == {"job": [1, 2]}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("user", "second: the data is wrong. Mend it."),
        ("defect", r"second: KeyError: 'a defect'; see .*second\.log\."),
        ("file", "second: No such file or directory: /nowhere/file"),
        ("exit", r"second: its process ended before its work, with exit code 7; see .*second\.log"),
    ],
)
def test_a_failure_is_one_line_and_ends_the_others(tmp_path, kind, message) -> None:
    pid = tmp_path / "pid"
    jobs = [Job("first", sleep, (pid,)), Job("second", fail, (kind, pid))]
    with pytest.raises(UserError, match=f"^{message}") as caught:
        run_side_by_side(jobs, tmp_path / "logs", at_once=2)
    assert "\n" not in str(caught.value)
    assert all(gone(int(process)) for process in pid.read_text().split())
    log = (tmp_path / "logs" / "second.log").read_text()
    assert "what it printed" in log or kind == "exit"
    assert ("Traceback" in log) == (kind == "defect")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_its_parent(tmp_path, number) -> None:
    pid, script = tmp_path / "pid", tmp_path / "script.py"
    script.write_text(
        # Whatever runs the tests may ignore Ctrl-C, as a shell does for what is in its background.
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\n"
        "from common.errors import run_command\n"
        "from experiments.parallel.job import Job\n"
        "from experiments.parallel.side_by_side import run_side_by_side\n"
        "from tests.experiments.test_side_by_side import sleep\n"
        "if __name__ == '__main__':\n"
        f"    jobs = [Job('job', sleep, (Path({str(pid)!r}),))]\n"
        f"    run_command(lambda: run_side_by_side(jobs, Path({str(tmp_path)!r})))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (pid.is_file() and pid.read_text()):
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(number)
    _, errors = parent.communicate(timeout=20)
    assert parent.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in errors
    assert all(gone(int(process)) for process in pid.read_text().split())
