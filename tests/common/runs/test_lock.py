from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.errors import UserError
from common.runs.lock import NAME, Lock
from common.runs.run import Run
from tests.commands import ROOT

HOLDING = """
import sys
from common.runs.run import Run
run = Run.create(sys.argv[1], "toy", {}, resume=True)
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def trained_elsewhere(folder: Path) -> Iterator[subprocess.Popen]:
    """Another process trains in the folder."""
    command = [sys.executable, "-c", HOLDING, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.iterdir()}


def test_a_run_in_training_is_neither_resumed_nor_replaced(tmp_path):
    Run.create(tmp_path, "toy", {}).release()
    with trained_elsewhere(tmp_path) as process:
        before = content(tmp_path)
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(UserError, match=f"trained by process {process.pid} on"):
                Run.create(tmp_path, "toy", {}, **how)
            assert content(tmp_path) == before
        Run.open(tmp_path).file("evaluation-val.json").write_text("{}")  # an evaluation may
        process.kill()  # it leaves the file, which holds nobody up
        process.wait()
    assert (tmp_path / NAME).exists()
    run = Run.create(tmp_path, "toy", {}, resume=True)
    run.release()
    assert not (tmp_path / NAME).exists()


def test_a_folder_in_which_another_process_has_begun_is_held(tmp_path):
    with trained_elsewhere(tmp_path / "run"), pytest.raises(UserError, match="being trained by"):
        Run.create(tmp_path / "run", "toy", {}, resume=True)


def test_a_process_does_not_keep_itself_out_and_its_children_do_not_hold_it(tmp_path):
    first = Lock(tmp_path)
    second = Lock(tmp_path)
    second.release()
    first.release()
    third = Lock(tmp_path)
    child = os.fork()
    if not child:  # a worker that makes batches, which outlives the training
        os.read(0, 0)
        os._exit(0)
    os.waitpid(child, 0)
    assert third.path.exists()
    third.release()
    third.release()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", ["link", "pipe"])
def test_a_lock_that_is_no_file_is_refused(tmp_path, make):
    (tmp_path / "theirs").write_text("theirs")
    if make == "link":
        (tmp_path / NAME).symlink_to(tmp_path / "theirs")
    else:
        os.mkfifo(tmp_path / NAME)
    with pytest.raises(UserError, match="is a link|is not a regular file"):
        Lock(tmp_path)
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_what_a_stranger_wrote_into_the_lock_is_not_printed(tmp_path):
    (tmp_path / NAME).write_bytes(b"\x1b[2J\xff" * 500)
    lock = Lock(tmp_path)
    assert lock.path.read_text().startswith(f"process {os.getpid()} on ")
