"""What every command line owes a user who asks for help or mistypes: an answer at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import experiments

COMMANDS = [
    ["captioning"], ["captioning", "train"], ["captioning", "evaluate"], ["captioning", "caption"],
    ["seq2seq"], ["seq2seq", "train"], ["seq2seq", "evaluate"], ["seq2seq", "translate"],
    ["experiments.caption_flickr8k"], ["experiments.caption_flickr8k", "attention"],
    ["experiments.translate_multi30k"], ["experiments.translate_multi30k", "small"],
    ["experiments.demo"], ["experiments.benchmarks"], ["experiments.benchmarks", "compare"],
]  # fmt: skip

# Each of them takes longer to import than all that a help text needs.
SLOW = ("torch", "torchvision", "matplotlib", "tensorboard", "sacrebleu", "nltk", "PIL")

PROGRAM = f"""
import runpy, sys
status = 0
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    status = end.code
slow = [name for name in {SLOW} if name in sys.modules]
assert not slow, slow
sys.exit(status)
"""


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.replace("sys.argv[0]", repr(module), 1)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_needs_nothing_slow(command):
    shown = run(*command, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "usage: python -m " + command[0] in shown.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_option_is_refused_at_once(command):
    needed = ["RUN", "FILE"] if command[-1] in ("evaluate", "caption", "translate") else []
    needed = ["OTHER"] if command[-1] == "compare" else needed
    refused = run(*command, *needed, "--no-such-option")
    assert refused.returncode == 2
    assert "no-such-option" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_experiments_are_listed_with_a_line_each():
    listed = run("experiments")
    assert listed.returncode == 0, listed.stderr
    names = [name for name, _ in experiments()]
    assert {"caption_flickr8k", "demo", "translate_multi30k", "benchmarks"} <= set(names)
    for name, line in experiments():
        assert line and f"{name}  " in listed.stdout and line in listed.stdout
