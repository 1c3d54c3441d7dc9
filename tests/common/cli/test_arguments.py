"""Any dataclass of options is a command line: what it reads, what it shows, what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from common.cli.arguments import Parser
from common.cli.command_line import parse, parse_options
from common.config.bounds import Count, Fraction
from common.config.changes import MAY_CHANGE
from common.config.marks import BASIC, HIDDEN, POSITIONAL, File, Group, Metavar
from common.config.plain import restored
from common.errors import UserError
from common.training.options import TrainingOptions


@dataclass(frozen=True)
class Inner:
    """What is inside."""

    size: Annotated[Count, BASIC] = 3
    """Its size."""
    share: Fraction = 0.25
    """A share of 5 % or more."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What every command has."""

    run: Annotated[Path, POSITIONAL]
    """The run."""
    most: Annotated[Count | None, MAY_CHANGE] = 7
    """At most so many."""


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Try all types."""

    files: Annotated[tuple[Path, ...], POSITIONAL, Metavar("FILE")]
    """Files."""
    kind: Literal["this", "that"] | None = None
    """Which kind."""
    names: Annotated[tuple[Literal["a", "b"], ...], Group("naming")] = ("a",)
    """Names."""
    table: File | None = None
    """A table."""
    quick: Annotated[bool, BASIC] = False
    """Be quick."""
    careful: bool = True
    """Be careful."""
    found: Annotated[int, HIDDEN] = 1
    """Is found."""
    inner: Inner = Inner(share=0.5)


def read(*arguments: str) -> Options:
    return parse_options(Options, arguments, prog="try")


def test_every_type_is_read():
    defaults = Options(run=Path("r"), files=(Path("f"),))
    assert read("r", "f") == defaults
    given = read(
        "r", "--kind", "that", "f", "g", "--names", "b", "a", "--table", "t", "--quick",
        "--no-careful", "--most", "None", "--size", "0", "--share=1",
    )  # fmt: skip
    assert given == Options(
        run=Path("r"), files=(Path("f"), Path("g")), kind="that", names=("b", "a"), table=Path("t"),
        quick=True, careful=False, most=None, inner=Inner(0, 1.0),
    )  # fmt: skip
    assert read("r", "f", "--quick", "--no-quick", "--names") == Options(
        run=Path("r"), files=(Path("f"),), names=()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("r", "missing: FILE ..."),
        ("", "missing: RUN, FILE ..."),
        ("r f --sise 3 x", "unknown: --sise (perhaps --size?)"),
        ("r f --size big", "--size: 'big' is no whole number"),
        ("r f --share big", "--share: 'big' is no number"),
        ("r f --kind other", "--kind: 'other' is none of this, that"),
        ("r f --names a c", "--names: 'c' is none of a, b"),
        ("r f --siz 3", "unknown: --siz"),
        ("r f --found 3", "unknown: --found"),
    ],
)
def test_what_cannot_be_read_is_named(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        read(*arguments.split())
    assert stop.value.code == 2
    usage, error = capsys.readouterr().err.splitlines()
    assert usage == "usage: try RUN FILE ... [OPTION ...]"
    assert message in error


def test_numbers_out_of_bounds_are_named():
    for arguments, message in (
        (("--size", "-1"), "--size -1 is not at least 0"),
        (("--most", "-1"), "--most -1 is not at least 0"),
        (("--share", "nan"), "--share nan is not between 0 and 1"),
    ):
        with pytest.raises(UserError, match=message):
            read("r", "f", *arguments)


def test_the_help_has_groups_and_tells_what_it_knows(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stop:
        read("--help")
    assert not stop.value.code
    usage, text, basic, other, naming, inner, share = capsys.readouterr().out.split("\n\n")
    assert usage == "usage: try RUN FILE ... [OPTION ...]" and text == "Try all types."
    assert [line.split()[0] for line in basic.splitlines()] == [
        "basic", "RUN", "FILE", "--quick", "--size", "-h,"
    ]  # fmt: skip
    assert "The run. (required)" in basic
    assert other.startswith("other options:") and "{this,that}" in other
    assert "At most so many. (default: 7; may change on resume)" in naming
    assert naming.startswith("naming options:") and "--table FILE" in naming
    assert "--names {a,b} ..." in naming and "(default: a)" in naming
    assert "--careful, --no-careful" in naming and "--no-quick" not in basic
    assert inner == "inner options:\n  What is inside."
    assert "A share of 5 % or more. (default: 0.5; between 0 and 1)" in share


def test_a_program_has_commands(capsys, monkeypatch):
    commands = {"one": Inner, "two": Options}

    def run(*arguments: str) -> object:
        monkeypatch.setattr("sys.argv", ["x", *arguments])
        return parse(commands, prog="try", description="Tries.")

    assert run("one", "--size", "4") == Inner(4)
    for arguments, status in (((), 2), (("three",), 2), (("--help",), 0)):
        with pytest.raises(SystemExit) as stop:
            run(*arguments)
        assert (stop.value.code or 0) == status
        shown = capsys.readouterr()
        assert "usage: try COMMAND ..." in shown.out + shown.err
    assert "two         Try all types." in shown.out


def test_what_is_typed_commands_no_terminal(capsys):
    with pytest.raises(SystemExit):
        Parser("tool").error("unknown: \x1b[2J")
    assert capsys.readouterr().err.endswith("error: unknown: \\u001b[2J\n")


def test_a_value_that_is_none_is_named_as_it_is_typed():
    with pytest.raises(UserError, match=r"^--batch-size cannot be 1000000000000000000000000000000"):
        restored(TrainingOptions, {"batch_size": 10**30}, "")
