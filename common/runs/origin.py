"""What makes a run: the program, its versions, and how it was called."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("unroll", "torch", "torchvision", "numpy", "safetensors")


def what_makes_it() -> dict[str, object]:
    """What config.json records, for people: none of it is ever read as a path or run."""
    return {
        "command": command_line(),
        "folder": os.getcwd(),
        "commit": commit(),
        "platform": platform.platform(),
        "versions": {"python": platform.python_version()} | versions(),
    }


def command_line() -> str:
    """The command of this process, as one would type it."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    program = [sys.argv[0]] if spec is None else ["-m", spec.name.removesuffix(".__main__")]
    return shlex.join(["python", *program, *sys.argv[1:]])


def commit() -> str | None:
    """The commit of the working copy that this file is in, marked where files differ from it; None
    where there is none, as in an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def versions() -> dict[str, str]:
    """Those of the libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
