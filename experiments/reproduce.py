"""The command that makes a run again, and what it was made with: `python -m experiments.reproduce RUN`.

Shape: none. The command is the one that the run recorded, or else is made of its configuration. It is
printed, and nothing of it is run, imported or opened: a folder that somebody sends may name any command.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import captioning.options
import seq2seq.options
from common.cli.arguments import options_of
from common.cli.command_line import parse_options
from common.config.marks import POSITIONAL
from common.config.plain import defaults, dotted, of_today, restored
from common.errors import UserError, run_command
from common.files import read_json
from common.runs.contents import describes_run

TRAININGS = {
    module.KIND: (name, module.TrainOptions)
    for name, module in (("captioning", captioning.options), ("seq2seq", seq2seq.options))
}


@dataclass(frozen=True)
class ReproduceOptions:
    """Print the command that makes a run again, and the commit and the versions that made it."""

    run: Annotated[Path, POSITIONAL]
    """A folder that `train` wrote, or its config.json."""


def main() -> None:
    """Print them."""
    run = parse_options(ReproduceOptions, prog="python -m experiments.reproduce").run
    path = run / "config.json" if run.is_dir() else run
    for line in lines(read_json(path), str(path)):
        print(line)


def lines(stored: Any, where: str) -> Iterator[str]:
    """What made a run, as comments, and then the command.

    Args:
        stored: the content of a config.json.
        where: its path, for messages.

    Raises:
        UserError: it is not that of a run, or records no command.
    """
    if not describes_run(stored):
        raise UserError(f"{where} is not the configuration of a run.")
    made_by = stored.get("made_by")
    made_by = made_by if isinstance(made_by, dict) else {}
    for name, value in made_by.items():
        if name != "command":
            pairs = value.items() if isinstance(value, dict) else ()
            text = ", ".join(f"{each} {version}" for each, version in pairs) or str(value)
            yield f"# {printable(f'{name}: {text}')}"
    yield printable(shlex.join(recorded(made_by) or command(stored, where)))


def recorded(made_by: Mapping[str, Any]) -> list[str]:
    """The words of the recorded command; none where there is none that can be read."""
    text = made_by.get("command")
    try:  # quoted anew, so that no part of it is a command of its own
        return shlex.split(text) if isinstance(text, str) else []
    except ValueError:
        return []


def command(stored: Mapping[str, Any], where: str) -> list[str]:
    """A command with the options of a configuration that are not the defaults.

    Raises:
        UserError: the run is of an experiment, or was made with options that are none today.
    """
    if stored["kind"] not in TRAININGS:
        raise UserError(f"{where} records no command, and is not of captioning or seq2seq.")
    name, options = TRAININGS[stored["kind"]]
    config = of_today(options, stored["format"], stored["config"])
    values = dict(dotted(restored(options, config, where)))
    usual = dict(dotted(defaults(options)))
    if values.get("init_from"):  # what is not given of the model is as in that run
        usual = {
            name: each for name, each in usual.items() if name.split(".")[0] not in options.MODEL
        }
    words = ["python", "-m", name, "train"]
    for option in options_of(options):
        if option.path not in values or option.name in ("--resume", "--overwrite"):
            continue
        value = values[option.path]
        if option.path not in usual or value != usual[option.path]:
            words += option.typed(value)
    return words


def printable(text: str) -> str:
    """The text with what is not printable escaped: a line of it is one line, and moves no cursor."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


if __name__ == "__main__":
    run_command(main)
