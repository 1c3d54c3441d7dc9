"""Options as plain values: a dataclass from JSON, and settings by dotted names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from common.config.bounds import check_bounds
from common.errors import UserError

Options = TypeVar("Options")


def from_dict(options: type[Options], values: Any, where: str) -> Options:
    """Rebuild a dataclass of options from its JSON: nested ones, paths and tuples restored.

    Args:
        options: the dataclass.
        values: what `dataclasses.asdict` gave and JSON kept.
        where: the file, for the message.

    Raises:
        UserError: names are missing or unknown, or values impossible: the file is of another
            version, or was edited.
    """
    kinds = get_type_hints(options)
    if not isinstance(values, dict) or not set(values) <= set(kinds):
        odd = sorted(set(values) - set(kinds)) if isinstance(values, dict) else values
        raise UserError(
            f"{where}: unknown {options.__name__} {odd}: it is of another version of unroll."
        )
    restored = {name: _restored(kinds[name], value, where) for name, value in values.items()}
    for name, value in restored.items():
        if not _fits(kinds[name], value):
            raise UserError(f"{where}: {name} cannot be {json.dumps(values[name])}.")
    try:
        built = options(**restored)
    except TypeError as error:
        raise UserError(f"{where}: incomplete {options.__name__}: {error}.") from None
    check_bounds(built, where)
    return built


def _fits(kind: Any, value: Any) -> bool:
    """Whether the value of an option is of its type."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(get_args(kind)[0], each) for each in value)
    if get_args(kind):  # a union
        return any(_fits(each, value) for each in get_args(kind))
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _restored(kind: Any, value: Any, where: str) -> Any:
    """The value of one option, as its type says."""
    if dataclasses.is_dataclass(kind):
        return from_dict(cast(type, kind), value, where)
    if isinstance(value, str) and Path in (kind, *get_args(kind)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def plain(options: Any) -> dict[str, Any]:
    """Options, a dataclass or a dict, as JSON has them: no tuples, no paths, no dataclasses."""
    if dataclasses.is_dataclass(options) and not isinstance(options, type):
        options = dataclasses.asdict(options)
    return json.loads(json.dumps(options, default=str))


def dotted(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a nested configuration by their dotted names."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
