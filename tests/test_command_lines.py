"""What every command line owes a user who asks for help or mistypes: an answer at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import captioning.options
import seq2seq.options
from common.cli.arguments import options_of
from experiments.__main__ import SHAPES, experiments

COMMANDS = [
    ["captioning"], ["captioning", "train"], ["captioning", "evaluate"], ["captioning", "caption"],
    ["captioning", "logprob"], ["seq2seq", "logprob"], ["captioning", "score"],
    ["seq2seq"], ["seq2seq", "train"], ["seq2seq", "evaluate"], ["seq2seq", "translate"],
    ["seq2seq", "score"],
    ["experiments.caption_flickr8k"], ["experiments.caption_flickr8k", "attention"],
    ["experiments.translate_multi30k"], ["experiments.translate_multi30k", "small"],
    ["experiments.demo"], ["experiments.benchmarks"], ["experiments.benchmarks", "compare"],
    ["experiments.reproduce"],
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


def run(module: str, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.replace("sys.argv[0]", repr(module), 1)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True,
        cwd=Path(__file__).parents[1], env=os.environ | {"COLUMNS": str(columns)},
    )  # fmt: skip


def groups(shown: str) -> dict[str, str]:
    """The groups of a help, by title."""
    parts = re.split(r"^(\S.*):\n", shown, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def names(group: str) -> list[str]:
    """What the lines of a group that begin with an option or a positional argument begin with."""
    return re.findall(r"^  ([-\w]+)", group, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_needs_nothing_slow(command):
    shown = run(*command, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "usage: python -m " + command[0] in shown.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_option_is_refused_at_once(command):
    writers = ("evaluate", "caption", "translate", "experiments.reproduce")
    needed = ["RUN", "FILE"] if command[-1] in writers else []
    needed = ["OTHER"] if command[-1] == "compare" else needed
    if command[-1] == "score":
        needed = ["FILE", "--data", "DIR"] if command[0] == "captioning" else ["FILE", "REFERENCE"]
    refused = run(*command, *needed, "--no-such-option")
    assert refused.returncode == 2
    assert "no-such-option" in refused.stderr
    assert "Traceback" not in refused.stderr


BASIC = [
    "--data", "--run-dir", "--config", "--cell", "--embedding-size", "--hidden-size", "--attention",
    "--epochs", "--batch-size", "--learning-rate", "--precision", "--device", "--seed", "--resume",
    "--overwrite", "--init-from", "--quiet", "-h",
]  # fmt: skip


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("pipeline", ["captioning", "seq2seq"])
def test_a_training_is_explained_from_its_basic_options_on(pipeline, columns):
    shown = groups(run(pipeline, "train", "--help", columns=columns).stdout)
    first, *others = shown
    languages = ["--source", "--target"] if pipeline == "seq2seq" else []
    assert first == "basic options" and names(shown[first]) == BASIC[:3] + languages + BASIC[3:]
    assert shown[first].count("\n") < 44
    assert others == [
        "presets, for --config", "data options", "validation options", "text options", "encoder options",
        "decoder options", "search options", "loss options", "training options",
    ]  # fmt: skip
    assert max(len(line) for group in shown.values() for line in group.splitlines()) < columns


@pytest.mark.parametrize("options", [captioning.options.TrainOptions, seq2seq.options.TrainOptions])
def test_every_option_of_a_training_is_explained(options):
    for option in options_of(options):
        assert option.text.endswith("."), option.path
        assert option.text[0].isupper() or option.path == "training.device", option.path
    assert len({option.name for option in options_of(options)}) == len(list(options_of(options)))


def test_options_tell_whether_a_resumed_run_may_change_them():
    shown = " ".join(run("seq2seq", "train", "--help").stdout.split())
    for name, note in (
        ("data", "required; may change on resume"),
        ("source", "may be left out on resume"),
        ("epochs", "default: 30; may change on resume unless --schedule is cosine"),
        ("batch-size", "default: 64"),
        ("max-minutes", "may change on resume"),
    ):
        assert re.search(rf" --{name} \w+ [^()]*\({note}\)", shown), name


@pytest.mark.parametrize(
    ("command", "basic"),
    [
        (["captioning", "caption"], "RUN IMAGE --json --picture --attention --device --quiet -h"),
        (["captioning", "evaluate"], "RUN --split --data --device --quiet -h"),
        (
            ["seq2seq", "translate"],
            "RUN FILE --scores --alignments --alignments-text --replace-unknown --device --quiet -h",
        ),
        (["seq2seq", "evaluate"], "RUN --source --target --split --data --device --quiet -h"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_writes_takes_the_run_first(command, basic):
    shown = run(*command, "--help").stdout
    place = {"caption": "RUN IMAGE ...", "translate": "RUN [FILE]"}.get(command[1], "RUN")
    assert f"usage: python -m {' '.join(command)} {place} [OPTION ...]" in shown
    found = groups(shown)
    assert list(found) == ["basic options", "other options", "search options"]
    assert names(found["basic options"]) == basic.split()
    assert "By default as in the run." in found["search options"]
    assert "(default" not in found["search options"]


@pytest.mark.parametrize("pipeline", ["captioning", "seq2seq"])
def test_scoring_imports_no_network(pipeline, tmp_path):
    """PyTorch takes seconds, and a score needs references alone."""
    (tmp_path / "written").write_text('{"1": "a dog runs"}\n')
    (tmp_path / "val.jsonl").write_text('{"image": "1.jpg", "captions": ["a dog ran"]}\n')
    needed = (
        ["--data", str(tmp_path)] if pipeline == "captioning" else [str(tmp_path / "val.jsonl")]
    )
    program = PROGRAM.replace(str(SLOW), "('torch', 'torchvision', 'matplotlib', 'tensorboard')")
    program = program.replace("sys.argv[0]", repr(pipeline), 1)
    done = subprocess.run(
        [sys.executable, "-c", program, "score", str(tmp_path / "written"), *needed],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "bleu" in done.stdout


def test_presets_are_listed_with_a_line_each():
    shown = groups(run("seq2seq", "train", "--help").stdout)["presets, for --config"]
    listed = dict(line.split(maxsplit=1) for line in shown.strip().splitlines())
    assert list(listed) == ["multi30k-attention", "multi30k-context", "multi30k-small", "tiny"]
    named = {name: about for name, about in listed.items() if name != "tiny"}
    assert all(about.startswith("Multi30k: ") for about in named.values())


def test_the_help_shows_the_values_of_a_preset():
    shown = run("seq2seq", "train", "--config", "multi30k-small", "--help").stdout
    assert "usage: python -m seq2seq train --data DIR [OPTION ...]" in shown
    assert re.search(r"--batch-size N +Examples in a batch. \(default: 80\)", shown)


def test_experiments_are_listed_by_shape_with_a_line_each():
    listed = run("experiments")
    assert listed.returncode == 0, listed.stderr
    names = [name for name, _, _ in experiments()]
    assert {"caption_flickr8k", "demo", "translate_multi30k", "benchmarks"} <= set(names)
    for name, line, shapes in experiments():
        assert shapes and set(shapes) <= SHAPES.keys(), f"{name}: its docstring states no shape"
        assert line and listed.stdout.count(f"\n  {name} ") == listed.stdout.count(line) == len(
            shapes
        )
    many_to_one = listed.stdout.split("\n\nmany to one\n")[1].split("\n\n")[0]
    assert "sentiment" in many_to_one and "hello" not in many_to_one


@pytest.mark.parametrize(
    "command",
    [
        ["captioning", "caption", "RUN", ""], ["captioning", "train", "--data", ""],
        ["seq2seq", "translate", ""], ["seq2seq", "train", "--data", "d", "--run-dir", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_value_is_refused(command):
    refused = run(*command)
    assert refused.returncode == 2 and "an empty value" in refused.stderr


@pytest.mark.parametrize("module", ["captioning", "seq2seq", "experiments.part_of_speech"])
def test_ctrl_c_while_importing_ends_without_a_word(module, tmp_path):
    """A module that is imported on the way stands still; with -m, the first is that of the package."""
    (tmp_path / "argparse.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(20)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--help"], cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"importing\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.read() == b""
    assert process.wait() == -signal.SIGINT  # what a shell calls 130
