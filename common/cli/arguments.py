"""A dataclass of options as the arguments of a command.

A field is an option (`hidden_size`: `--hidden-size`), the docstring below it is its help. Its type is a
bool, a number, a text, a path or one of some names, or a tuple of such, or one of them or None, which is
written `None`. The fields of a dataclass inside it are options too, in a group of its name.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from common.config.bounds import Bounds
from common.config.changes import MayChange
from common.config.marks import BASIC, HIDDEN, POSITIONAL, Group, Metavar, Place, marks
from common.errors import printable
from common.files import expanded

FIRST, OTHER = "basic options", "other options"
LONGEST = 60  # characters of names that stand where the value does; more are in the explanation


@dataclass(frozen=True)
class Option:
    """A field of a dataclass of options, or of one inside it.

    Args:
        path: its name, dotted if nested: "decoder.hidden_size".
        kind: its type.
        marked: its type with its marks.
        text: explains it.
        group, about: title and description of its group in the help.
        alias: another name, with its dashes.
    """

    path: str
    kind: Any
    marked: Any
    text: str
    group: str = FIRST
    about: str = ""
    alias: str = ""

    @property
    def positional(self) -> bool:
        return POSITIONAL in marks(self.marked, Place)

    @property
    def name(self) -> str:
        """What is written before its value; nothing where it is positional."""
        flag = self.path.rpartition(".")[2].replace("_", "-")
        return "" if self.positional else f"--{flag}"

    @property
    def several(self) -> bool:
        return get_origin(self.kind) is tuple

    @property
    def one(self) -> Any:
        """The type of one value, None left out."""
        literal = get_origin(self.kind) is Literal
        return self.kind if literal else (*get_args(self.kind), self.kind)[0]

    @property
    def choices(self) -> str:
        """The names that it may have; nothing where there are no such names."""
        return ",".join(get_args(self.one)) if get_origin(self.one) is Literal else ""

    @property
    def metavar(self) -> str:
        """What stands for the value in the help; empty for a flag."""
        name = {bool: "", int: "N", float: "X"}.get(self.one, "NAME")
        if self.choices and len(self.choices) <= LONGEST:
            name = f"{{{self.choices}}}"
        elif self.positional:
            name = self.path.upper()
        name = next((mark.name for mark in marks(self.marked, Metavar)), name)
        return f"{name} ..." if self.several else name

    def add_to(
        self, group: argparse._ArgumentGroup, start: Mapping[str, Any], needed: bool
    ) -> None:
        """Add it to a parser's group; where it is given, its value has the path for a name."""
        default, notes = start.get(self.path), ["required"] if needed else []
        if default not in (None, ()) and default is not False:
            shown = " ".join(map(str, default)) if self.several else default
            notes.append(f"default: {'yes' if default is True else shown}")
        notes += [str(bounds) for bounds in marks(self.marked, Bounds) if bounds.high <= 1]
        notes += [mark.text for mark in marks(self.marked, MayChange) if mark.text]
        text = self.text
        if len(self.choices) > LONGEST:
            text += f" One of {self.choices.replace(',', ', ')}."
        text += f" ({'; '.join(notes)})" if notes else ""
        how: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
        if not self.positional:
            how["dest"] = self.path
        if self.one is not bool:
            nargs = "*" if self.several else "?" if self.positional else None
            how |= {"type": self.read, "metavar": self.metavar, "nargs": nargs}
            names = [each for each in (self.name or self.path, self.alias) if each]
            group.add_argument(*names, **how)
        elif default is True:
            group.add_argument(self.name, action=argparse.BooleanOptionalAction, **how)
        else:  # the help has no word for turning off what is off
            group.add_argument(self.name, action="store_true", **how)
            how["help"] = argparse.SUPPRESS
            group.add_argument(f"--no-{self.name[2:]}", action="store_false", **how)

    def typed(self, value: Any) -> list[str]:
        """The words of a command that give it a value."""
        if isinstance(value, bool):
            return [self.name if value else f"--no-{self.name[2:]}"]
        if isinstance(value, tuple | list):
            return [self.name, *map(str, value)]
        # Joined by "=", a value that begins with a dash is no option.
        dashed = str(value)[:1] == "-"
        return [f"{self.name}={value}"] if dashed else [self.name, str(value)]

    def read(self, text: str) -> Any:
        """One value from the command line."""
        if text == argparse.SUPPRESS:  # passes here, and must come out as what it is
            return text
        if text == "None" and NoneType in get_args(self.kind):
            return None
        if not text:  # an empty path would be the current folder
            raise argparse.ArgumentTypeError("an empty value; is a variable of the shell not set?")
        try:
            if self.one is Path:
                return expanded(text)
            if get_origin(self.one) is not Literal:
                return self.one(text)
            return get_args(self.one)[get_args(self.one).index(text)]
        except ValueError:
            names = f"none of {', '.join(map(str, get_args(self.one)))}"
            what = {int: "no whole number", float: "no number"}.get(self.one, names)
            raise argparse.ArgumentTypeError(f"{text!r} is {what}") from None


def options_of(
    options: type, prefix: str = "", group: str = FIRST, about: str = ""
) -> Iterator[Option]:
    """The options of a dataclass: those of its own class first, then those that it inherits."""
    kinds = get_type_hints(options)
    marked = get_type_hints(options, include_extras=True)
    if not prefix and any(BASIC in marks(kind, Place) for kind in marked.values()):
        group = OTHER
    for name, text in _explained(options).items():
        if dataclasses.is_dataclass(kinds[name]):
            about = inspect.cleandoc(kinds[name].__doc__ or "").partition("\n\n")[0]
            yield from options_of(kinds[name], f"{prefix}{name}.", f"{name} options", about)
            continue
        for mark in marks(marked[name], Group):
            group = f"{mark.title} options"
        places = marks(marked[name], Place)
        if HIDDEN not in places:
            shown = (FIRST, "") if places else (group, about)
            yield Option(prefix + name, kinds[name], marked[name], text, *shown)


def read_arguments(
    options: Sequence[Option],
    arguments: Sequence[str],
    start: Mapping[str, Any],
    *,
    prog: str,
    description: str,
    remarks: Mapping[str, str] = {},
    lacking: str = "",
) -> dict[str, Any]:
    """The values that some arguments give, by path, and no others; help or an error ends the program.

    Args:
        options: of the command.
        arguments: of its command line.
        start: the values of options that are not given, by path; another that is not nested is needed.
        prog, description: of the help.
        remarks: texts that follow the first group of the help, by title.
        lacking: what an error says after the names of options that are missing.
    """
    # What takes all that is left comes last of what is positional.
    options = sorted(options, key=lambda each: each.positional and each.several)
    needed = [each for each in options if each.path not in start and "." not in each.path]
    usage = [f"{each.name} {each.metavar}".strip() for each in needed]
    usage += [f"[{each.metavar}]" for each in options if each.positional and each not in needed]
    parser = Parser(
        prog, " ".join([prog, *usage, "[OPTION ...]"]), description,
        formatter_class=_Formatter, add_help=False, allow_abbrev=False,
    )  # fmt: skip
    groups = {FIRST: parser.add_argument_group(FIRST)}
    for title, text in remarks.items():
        parser.add_argument_group(title, text)
    for option in sorted(options, key=lambda each: (each not in needed, not each.positional)):
        if option.group not in groups:
            about = option.about + ("" if option.path in start else " By default as in the run.")
            groups[option.group] = parser.add_argument_group(option.group, about or None)
        option.add_to(groups[option.group], start, option in needed)
    groups[FIRST].add_argument("-h", "--help", action="help", help="Show this help.")
    found, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        names = [option.name for option in options]
        close = [(each, get_close_matches(each, names, 1)) for each in unknown]
        hinted = (each + (f" (perhaps {names[0]}?)" if names else "") for each, names in close)
        parser.error(f"unknown: {', '.join(hinted)}")
    given = vars(found)
    if missing := [each for each in needed if given.get(each.path, []) == []]:
        names = [each.name or each.metavar for each in missing]
        parser.error(f"missing: {', '.join(names)}{lacking}")
    return given


class Parser(argparse.ArgumentParser):
    """Its errors are printable: a shell completes names of files, whatever signs are in them."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _Formatter(argparse.HelpFormatter):
    """Keeps paragraphs, tables and the parts of `--an-option`; writes metavariables as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = [
            each if "  " in each else textwrap.fill(each, width) for each in text.split("\n\n")
        ]
        return textwrap.indent("\n\n".join(parts), indent)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return str(action.metavar)


def _explained(options: type) -> dict[str, str]:
    """The docstring below each field, by name; it may stand in a class that the field is inherited
    from."""
    texts: dict[str, str] = {}
    for each in filter(dataclasses.is_dataclass, options.__mro__):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        for field, below in pairwise([*ast.iter_child_nodes(tree), ast.Pass()]):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = ""
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                    text = " ".join(str(below.value.value).split())
                if not texts.get(field.target.id):
                    texts.pop(field.target.id, None)
                    texts[field.target.id] = text
    return texts
