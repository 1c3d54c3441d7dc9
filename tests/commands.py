"""The command lines of the project, as a user would type them, on the CPU."""

from __future__ import annotations

import io
import json
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

from common.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def on_the_cpu(*arguments: object) -> list[str]:
    """The arguments; and, unless they name a device and a precision themselves, the CPU and float32.

    The defaults take what the machine has: a GPU, which each of the processes that run tests would
    open, and whichever number type is fast.
    """
    given = [str(argument) for argument in arguments]
    if given[0] == "score":  # which needs neither
        return given
    chosen = {"--device": "cpu"}
    if given[0] not in (
        "caption",
        "evaluate",
        "logprob",
        "translate",
    ):  # which take the precision of the run
        chosen |= {"--precision": "fp32", "--search-precision": "fp32"}
    return given + [part for pair in chosen.items() if pair[0] not in given for part in pair]


def replace_words(run: Path, name: str, token: str) -> None:
    """Make of every word in a vocabulary of a run one that begins with `token`, as a stranger might."""
    vocabulary, config = (json.loads((run / each).read_text()) for each in (name, "config.json"))
    vocabulary["tokens"][4:] = [f"{token}{n}" for n in range(len(vocabulary["tokens"]) - 4)]
    (run / name).write_text(json.dumps(vocabulary))
    (run / "config.json").write_text(json.dumps(config | {"digests": {}}))


def assert_refused_at_once(
    run: Path, folder: Path, setting: tuple[str, str, object], read: Callable[[Path], object]
) -> None:
    """A setting that a stranger has changed in a copy of a run costs neither memory nor time.

    Args:
        run: it is copied.
        folder: to here.
        setting: its group, its name, and its value.
        read: what reads the run.
    """
    shutil.copytree(run, folder)
    config = json.loads((folder / "config.json").read_text())
    group, name, value = setting
    config["config"][group][name] = value
    (folder / "config.json").write_text(json.dumps(config))
    start = time.process_time()
    with pytest.raises(UserError, match=rf"\A{folder}/(config.json|model.safetensors)[^\n]*\Z"):
        read(folder)
    assert time.process_time() - start < 5


def run_module(
    module: str, *arguments: object, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module arguments` from the root of the project, on the CPU.

    Args:
        options: of `subprocess.run`.
    """
    return subprocess.run(
        [sys.executable, "-m", module, *on_the_cpu(*arguments)],
        **({"cwd": ROOT, "capture_output": True, "text": True} | options),
    )


def run_here(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """As `run_module`, in this process: it takes no time to start, and an exception is one.

    Standard input is empty.
    """
    out, err = io.StringIO(), io.StringIO()
    command = [module, *on_the_cpu(*arguments)]
    status: object = 0
    # A test may have imported what is to run anew.
    name = f"{module}.__main__"
    imported = {name: sys.modules.pop(name)} if name in sys.modules else {}
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.object(sys, "argv", command),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO())),
    ):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            status = stop.code or 0
        finally:
            sys.modules.update(imported)
    if not isinstance(status, int):  # as the interpreter does
        err.write(f"{status}\n")
        status = 1
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())
