"""Options as plain values: a dataclass from JSON, and settings by dotted names."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from common.config.bounds import check_value
from common.config.marks import Local, Metavar, marks, settings
from common.errors import UserError
from common.files import expanded

Options = TypeVar("Options")


def from_dict(options: type[Options], values: Any, where: str) -> Options:
    """Rebuild a dataclass of options from its JSON; the arguments are those of `restored`.

    Raises:
        UserError: names are missing or unknown, or values impossible: the file is of another
            version, or was edited.
    """
    found, kinds = restored(options, values, where), get_type_hints(options)
    for name, value in found.items():
        if dataclasses.is_dataclass(kinds[name]):
            found[name] = from_dict(cast(type, kinds[name]), value, where)
    try:
        return options(**found)
    except TypeError as error:
        raise UserError(f"{where}: incomplete {options.__name__}: {error}.") from None
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from None


def restored(options: type, values: Any, where: str) -> dict[str, Any]:
    """The values of all or some options from JSON: paths and tuples restored, each value checked.

    Args:
        options: their dataclass.
        values: by name, those of nested dataclasses in a dict of their own; a `Local` one that a file
            has is passed over.
        where: the file, for the message; empty for the command line.

    Raises:
        UserError: a name is unknown, or a value impossible.
    """
    kinds = get_type_hints(options)
    marked = get_type_hints(options, include_extras=True)
    if not isinstance(values, dict) or not set(values) <= set(kinds):
        odd = sorted(set(values) - set(kinds)) if isinstance(values, dict) else values
        raise UserError(
            f"{where}: unknown {options.__name__} {odd!r}: misspelt, or of another version of unroll."
        )
    found: dict[str, Any] = {}
    for name, value in values.items():
        if where and marks(marked[name], Local):
            continue
        if dataclasses.is_dataclass(kinds[name]):
            found[name] = restored(cast(type, kinds[name]), value, where)
            continue
        found[name] = _restored(kinds[name], value)
        text = found[name]
        if isinstance(text, str) and text.startswith("~") and _names_path(marked[name], text):
            found[name] = str(expanded(text))
        if not _fits(kinds[name], found[name]):
            named = f"{where}: {name}" if where else f"--{name.replace('_', '-')}"
            raise UserError(f"{named} cannot be {json.dumps(value, default=str)}.")
        check_value(name, marked[name], found[name], where)
    return found


def defaults(options: type) -> dict[str, Any]:
    """The defaults of a dataclass and of those in it; what has none is missing."""
    found = {field.name: field.default for field in dataclasses.fields(options)}
    return {
        name: dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]
        for name, value in found.items()
        if value is not dataclasses.MISSING
    }


def _names_path(kind: Any, text: str) -> bool:
    """Whether a text names a file or a folder where there is one, and is no name beside them."""
    names = [name for mark in marks(kind, Metavar) for name in mark.name.split("|")]
    return names[-1:] in (["DIR"], ["FILE"]) and text not in names


def _fits(kind: Any, value: Any) -> bool:
    """Whether the value of an option is of its type."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(get_args(kind)[0], each) for each in value)
    if get_args(kind):  # a union
        return any(_fits(each, value) for each in get_args(kind))
    if kind in (int, float):  # and of a size that every library can hold
        usual = isinstance(value, (int, kind)) and not isinstance(value, bool)
        return usual and not (isinstance(value, int) and abs(value) >= 2**63)
    return isinstance(value, kind) and (kind not in (str, Path) or _can_be_named(str(value)))


def _can_be_named(text: str) -> bool:
    """Whether a file may have this name; no other text that an option takes is any different."""
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return False


def _restored(kind: Any, value: Any) -> Any:
    """The value of one option, as its type says."""
    if isinstance(value, list) and get_origin(kind) is tuple:
        return tuple(_restored(get_args(kind)[0], each) for each in value)
    # An empty path would be the current folder.
    return (
        expanded(value)
        if isinstance(value, str) and value and Path in (kind, *get_args(kind))
        else value
    )


def of_today(options: type, format: int, config: Any) -> Any:
    """The configuration of a run of some format as today's options have it: where the dataclass has
    `of_format(format, config)`, that turns an older one into one of today."""
    return getattr(options, "of_format", lambda format, config: config)(format, config)


def with_absolute_paths(options: Options) -> Options:
    """A dataclass of options that name the same files from any folder: options that are paths, and texts
    marked as DIR or FILE where there is such a path, become absolute. A text that is marked as
    `this|that|FILE` may also be one of these names, which are no paths."""
    changes: dict[str, Any] = {}
    for name, kind in get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changes[name] = with_absolute_paths(value)
        elif isinstance(value, Path):
            changes[name] = expanded(value).absolute()
        elif (
            isinstance(value, str) and _names_path(kind, value) and os.path.exists(expanded(value))
        ):
            changes[name] = os.path.abspath(expanded(value))
    return cast(Options, dataclasses.replace(cast(Any, options), **changes))


def plain(options: Any) -> dict[str, Any]:
    """Options, a dataclass or a dict, as JSON has them: no tuples, no paths, no dataclasses, and of a
    dataclass no `Local` options."""
    if dataclasses.is_dataclass(options) and not isinstance(options, type):
        local = {name for name, kind, _ in settings(options) if marks(kind, Local)}
        options = nested(
            {name: each for name, each in dotted(dataclasses.asdict(options)) if name not in local}
        )
    return json.loads(json.dumps(options, default=str))


def dotted(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a nested configuration by their dotted names."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The nested configuration of settings by their dotted names."""
    config: dict[str, Any] = {}
    for name, value in settings.items():
        *above, last = name.split(".")
        into = config
        for each in above:
            into = into.setdefault(each, {})
        into[last] = value
    return config
