"""Files of captions that anybody wrote for the images of a data set."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from common.data.damage import Damage, Tally
from common.data.reading import text_lines
from common.data.records import Table
from common.errors import UserError
from common.files import LONGEST_TEXT

Key: TypeAlias = str | int
"""How a file names an image: by its name or path, or by its number."""

_IMAGE_FIELDS = (
    "image_id", "image", "cocoid", "id", "image_name", "filename", "file_name", "image_path", "path",
    "img",
)  # fmt: skip
_CAPTION_FIELDS = (
    "caption", "captions", "text", "comment", "prediction", "generated_caption", "hypothesis",
)  # fmt: skip
_LOOKS_LIKE = (
    'JSON lines {"image": ..., "caption": ...}, COCO results [{"image_id": ..., "caption": ...}], '
    'one object {"id": "caption"}, a table with the columns image and caption, or lines name<TAB>caption'
)


class Prediction(NamedTuple):
    """A caption that a file has for an image, before it is known which image that is."""

    key: Key
    caption: str


def read_predictions(name: str) -> list[Prediction]:
    """The captions of a file, or of standard input if it is called -, in their order.

    Args:
        name: of JSON lines, as `evaluate` and `caption --json` write them; COCO results, a list of
            objects; one object from id to caption, or to a list with one; a table; or lines
            name<TAB>caption, as `caption` prints them. Plain or compressed by gzip.

    Raises:
        UserError: it is none of these, some of it cannot be read, or there is nothing in it.
    """
    text = "\n".join(text_lines(name, "score", longest=LONGEST_TEXT))
    if not text.strip():
        raise UserError(f"{name} is empty. It should hold {_LOOKS_LIKE}.")
    tally = Tally()
    if text.lstrip()[0] in "[{":
        found = _read_json(text, name, tally)
    else:
        found = _read_lines(text) or _read_table(name, tally)
    if tally.problems:
        raise UserError(
            f"{name}: {len(tally.problems):,} of {tally.total:,} captions cannot be read. "
            f"The first: {'; '.join(tally.problems[:3])}."
        )
    if not found:
        raise UserError(f"{name}: no caption in it. It should hold {_LOOKS_LIKE}.")
    return found


def _read_json(text: str, name: str, tally: Tally) -> list[Prediction]:
    found: list[Prediction] = []
    twice: list[str] = []
    for where, record in _records(text, twice):
        with tally.reporting(where):
            found.append(_prediction(record))
    if twice:
        raise UserError(f"{name}: {some(twice, 'key')} more than once in an object of JSON.")
    return found


def _records(text: str, twice: list[str]) -> Iterator[tuple[str, Any]]:
    """What stands for each caption in JSON, with its place; the `Damage` of what is no JSON."""
    whole = _parsed(text, twice)
    if isinstance(whole, Damage) and text.lstrip().startswith("{"):
        twice.clear()
        lines = ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
        yield from ((f"line {number}", _parsed(line, twice)) for number, line in lines)
    elif isinstance(whole, dict) and _fields(whole) is None:
        yield from ((key, {"image": key, "caption": value}) for key, value in whole.items())
    else:
        items = whole if isinstance(whole, list) else [whole]
        yield from ((f"item {number}", item) for number, item in enumerate(items, 1))


def _parsed(text: str, twice: list[str]) -> Any:
    """The value of JSON, or the `Damage` of what is none.

    Args:
        text: the JSON.
        twice: gets the keys that an object has more than once, of which JSON keeps the last.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except ValueError as error:
        return Damage(f"not JSON ({getattr(error, 'msg', error)})")
    except RecursionError:
        return Damage("not usable JSON (nested too deeply)")


def _read_lines(text: str) -> list[Prediction]:
    """What `caption` prints, name<TAB>caption; nothing if it is something else, as a table with a
    header is."""
    lines = [line.rstrip("\r").split("\t") for line in text.split("\n") if line.strip()]
    if any(len(line) != 2 for line in lines) or _fields(dict.fromkeys(lines[0])):
        return []
    return [Prediction(*line) for line in lines]


def _read_table(name: str, tally: Tally) -> list[Prediction]:
    """Rows below a header that names `image` and `caption`."""
    table = Table(Path(name)) if os.path.isfile(name) else None
    fields = None if table is None else _fields(dict.fromkeys(table.columns))
    if table is None or fields is None:
        raise UserError(f"{name}: captions in no known form. It should hold {_LOOKS_LIKE}.")
    found = []
    for number, record in table:
        with tally.reporting(f"line {number}"):
            if isinstance(record, Damage):
                raise record
            found.append(Prediction(*(record[name] for name in fields)))
    return found


def _fields(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """The names of the fields that hold an image's name and its caption."""
    known = {name.lower(): name for name in record}
    image = next((known[name] for name in _IMAGE_FIELDS if name in known), None)
    caption = next((known[name] for name in _CAPTION_FIELDS if name in known), None)
    return None if image is None or caption is None else (image, caption)


def _prediction(record: Any) -> Prediction:
    if isinstance(record, Damage):
        raise record
    if not isinstance(record, dict):
        raise Damage("not an object")
    fields = _fields(record)
    if fields is None:
        raise Damage('no "image_id" (or "image") and "caption"')
    key = record[fields[0]]
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if not isinstance(key, (str, int)) or isinstance(key, bool):
        raise Damage(f'the "{fields[0]}" is neither a number nor text')
    return Prediction(key, _caption_in(record[fields[1]]))


def _caption_in(value: Any) -> str:
    """The caption that a field holds: a text, the only one of a list, or the best of what `caption
    --json` writes, which ranks them.

    Raises:
        Damage: there is none, or more than one.
    """
    if isinstance(value, list):
        ranked = all(isinstance(each, dict) and "score" in each for each in value)
        if not value or len(value) > 1 and not ranked:
            raise Damage(f"{len(value)} captions, where one can be scored")
        value = value[0]
    if isinstance(value, dict):
        value = next((value[name] for name in _CAPTION_FIELDS if name in value), None)
    if not isinstance(value, str):
        raise Damage("its caption is not text")
    return value


def some(names: Sequence[Key], what: str) -> str:
    """How many, and which are the first."""
    several = "" if len(names) == 1 else "s"
    first = ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")
    return f"{len(names):,} {what}{several} ({first})"
