"""What the options of a training are before the command line changes them.

They are those of the run that goes on, or, of the model, those of the run whose weights it begins with.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.cli.arguments import Option, Parser
from common.config.changes import MayChange, may_change
from common.config.marks import Metavar, marks
from common.config.plain import dotted, of_today, plain, restored, with_absolute_paths
from common.errors import UserError, printable
from common.runs.contents import description
from common.training.options import RunOptions

OF_THE_CALL = ("run_dir", "resume", "overwrite")  # not of the run, but of one call of its training
DECISIVE = ("run_dir", "resume", "init_from", "init_parts")  # what other options begin with


@dataclass(frozen=True)
class Beginning:
    """Where a training begins.

    Args:
        values: of its options where none are typed, by path.
        resumed: the options of the run that it goes on with; None: a new run.
        lacking: what to say where required options are missing.
    """

    values: dict[str, Any]
    resumed: RunOptions | None = None
    lacking: str = ""


def typed_early(
    found: Sequence[Option], arguments: Sequence[str], prog: str, config: str | None
) -> tuple[str | None, dict[str, Any]]:
    """What arguments give for `--config` (else `config`), and for the options that others depend on."""
    parser = Parser(prog, f"{prog} [OPTION ...]", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", "--preset", default=config, help=argparse.SUPPRESS)
    group = parser.add_argument_group()
    for option in found:
        if option.path in DECISIVE:
            option.add_to(group, {}, False)
    early = vars(parser.parse_known_args(list(arguments))[0])
    return early.pop("config"), early


def begin(
    options: type[RunOptions],
    found: Sequence[Option],
    defaults: Mapping[str, Any],
    configured: Mapping[str, Any],
    early: Mapping[str, Any],
    config: str | None = None,
    kind: str | None = None,
) -> Beginning:
    """The beginning of a training.

    A run that goes on has its own settings, and neither the defaults nor those of `--config`. One that
    takes the weights of another run has the model of that run, where neither `--config` nor the command
    line say otherwise.

    Args:
        options: of the training; `found` are its options one by one.
        defaults: the values of the options, by path.
        configured: those of `--config`.
        early: what `typed_early` gives.
        config: the name of `--config`, for a note.
        kind: of the runs.

    Raises:
        UserError: a run cannot be read or resumed.
    """
    values = {**defaults, **configured, **early}
    folder, lacking = values.get("run_dir"), ""
    if values.get("resume"):
        if folder is None:
            lacking = " (a run goes on by --run-dir DIR --resume alone)"
        elif os.path.lexists(folder / "config.json"):
            resumed = options.of_run(folder, kind)
            note_config(found, configured, resumed, config)
            own = dict(dotted(asdict(resumed)))
            own |= {name: values[name] for name in OF_THE_CALL if name in values}
            return Beginning(own, resumed)
        else:
            lacking = f" ({folder} holds no run that --resume could go on with)"
    origin = values.get("init_from")
    model = {} if origin is None else model_of(options, found, origin, values["init_parts"], kind)
    return Beginning({**defaults, **model, **configured}, None, lacking)


def model_of(
    options: type[RunOptions],
    found: Sequence[Option],
    folder: Path,
    parts: Sequence[str],
    kind: str | None,
) -> dict[str, Any]:
    """The values, by path, of the options that describe the model of a run, or some parts of it.

    A file that its weights began with is not among them.

    Raises:
        UserError: there is no such run.
    """

    def chosen(option: Option) -> bool:
        group = option.path.partition(".")[0]
        if not options.MODEL:  # all but how it was trained
            changes = marks(option.marked, MayChange)
            return not (changes or group in ("training", *DECISIVE))
        # What the tokens are decides which rows are alike, whatever the part.
        return group in options.MODEL and (not parts or group in (*parts, "text"))

    def is_file(option: Option) -> bool:
        named = any(mark.name == "FILE" for mark in marks(option.marked, Metavar))
        return named and isinstance(values[option.path], Path)

    try:
        stored = description(folder, kind)
    except UserError as error:
        raise UserError(f"--init-from: {error}") from None
    config = of_today(options, stored["format"], stored["config"])
    groups = {option.path.partition(".")[0] for option in filter(chosen, found)}
    there = {name: value for name, value in config.items() if name in groups}
    values = dict(dotted(restored(options, there, str(folder / "config.json"))))
    kept = (option for option in found if option.path in values and chosen(option))
    return {option.path: values[option.path] for option in kept if not is_file(option)}


def note_config(
    found: Sequence[Option],
    configured: Mapping[str, Any],
    resumed: RunOptions,
    config: str | None,
) -> None:
    """Say where the settings of a run that goes on are not those of `--config`."""
    was = dict(dotted(plain(with_absolute_paths(resumed))))
    differ = []
    for option in found:
        value = configured.get(option.path)
        if value in (None, "auto") or option.path in OF_THE_CALL or option.path not in was:
            continue
        here = str(Path(value).absolute()) if isinstance(value, Path) else value
        here = list(here) if isinstance(here, tuple) else here
        if was[option.path] not in (here, os.path.abspath(str(value))):
            differ.append(shlex.join(option.typed(was[option.path])))
    if differ:
        more = f" and {len(differ) - 5} more" if len(differ) > 5 else ""
        print(
            printable(
                f"{resumed.run_dir} goes on with its own settings, and not with those of --config "
                f"{config}: {', '.join(differ[:5])}{more}"
            ),
            file=sys.stderr,
        )


def refuse_typed_changes(
    found: Sequence[Option], given: Mapping[str, Any], chosen: RunOptions, resumed: RunOptions
) -> None:
    """Refuse typed options that a run that goes on may not change.

    Args:
        found: the options of the training.
        given: what is typed, by path.
        chosen: all options, with those that are typed.
        resumed: the options of the run.

    Raises:
        UserError: one of them is another than the run's.
    """
    allowed = may_change(chosen)
    was, now = (dict(dotted(plain(with_absolute_paths(each)))) for each in (resumed, chosen))
    for option in found:
        path = option.path
        if path not in given or path in allowed or was.get(path) == now.get(path):
            continue
        typed, kept = (shlex.join(option.typed(value)) for value in (given[path], was[path]))
        name = option.typed(given[path])[0].partition("=")[0]
        raise UserError(
            f"{typed}: {resumed.run_dir} was started with {kept}, which cannot change while it goes on. "
            f"Leave {name} out, or start another run in another --run-dir."
        )
