"""The command lines of the pipelines, in this process: the pretended GPU is known to it alone."""

from __future__ import annotations

import runpy
import sys
from typing import Any

import pytest


def command(package: str, *arguments: Any) -> None:
    """Run `python -m PACKAGE ARGUMENTS`; a list of words in a string are several arguments."""
    words = [word for each in arguments for word in (str(each).split() or [""])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [package, *words])
        runpy.run_module(package, run_name="__main__", alter_sys=True)


def options(**values: Any) -> str:
    """Options by their names, as one string: `hidden_size=16` is --hidden-size 16."""
    found = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            found.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            found.append(f"{flag} {value}")
    return " ".join(found)
