"""Captions that anybody wrote for the images of a data set: read from a file, and matched by name."""

from __future__ import annotations

import json
import posixpath
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from captioning.data import CaptionedImage
from common.data.damage import Damage, Tally
from common.data.records import Records, Table, tabbed_lines
from common.errors import UserError
from common.files import read_text

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
    'one object {"id": "caption"}, or a table with the columns image and caption'
)


_DEEPEST = 20  # folders by which images of one name are told apart


class Prediction(NamedTuple):
    """A caption that a file has for an image, before it is known which image that is."""

    key: Key
    caption: str


def read_predictions(name: str) -> list[Prediction]:
    """The captions of a file, or of standard input if it is called -, in their order.

    Args:
        name: of JSON lines, as `evaluate` and `caption --json` write them; COCO results, a list of
            objects; one object from id to caption, or to a list with one; or a table.

    Raises:
        UserError: it is none of these, some of it cannot be read, or there is nothing in it.
    """
    text = _standard_input() if name == "-" else read_text(name)
    if not text.strip():
        raise UserError(f"{name} is empty. It should hold {_LOOKS_LIKE}.")
    tally = Tally()
    if text.lstrip()[0] in "[{":
        found = _read_json(text, name, tally)
    elif name == "-":
        raise UserError(f"standard input is no JSON. It should hold {_LOOKS_LIKE}.")
    else:
        found = _read_table(Path(name), tally)
    if tally.problems:
        raise UserError(
            f"{name}: {len(tally.problems):,} of {tally.total:,} captions cannot be read. "
            f"The first: {'; '.join(tally.problems[:3])}."
        )
    if not found:
        raise UserError(f"{name}: no caption in it. It should hold {_LOOKS_LIKE}.")
    return found


def _standard_input() -> str:
    if sys.stdin is None:
        raise UserError("standard input is closed: name a file of captions.")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"standard input is not UTF-8 text ({error.reason}).") from None


def _read_json(text: str, name: str, tally: Tally) -> list[Prediction]:
    twice: list[str] = []  # keys that an object has more than once, of which JSON keeps the last

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return dict(pairs)

    def parse(part: str) -> Any:
        try:
            return json.loads(part, object_pairs_hook=once)
        except ValueError as error:
            raise Damage(f"not JSON ({getattr(error, 'msg', error)})") from None
        except RecursionError:
            raise Damage("not usable JSON (nested too deeply)") from None

    records: Iterable[tuple[str, Any]]
    as_lines = False
    try:
        whole = parse(text)
    except Damage as damage:
        if text.lstrip()[0] == "[":
            raise UserError(f"{name}: {damage}.") from None
        lines = enumerate(text.split("\n"), 1)
        records = [(f"line {number}", line) for number, line in lines if line.strip()]
        as_lines = True
    else:
        if isinstance(whole, dict) and _fields(whole) is None:
            found = []
            for key, value in whole.items():
                with tally.reporting(key):
                    found.append(Prediction(key, _caption_in(value)))
            _refuse_twice(name, twice)
            return found
        whole = whole if isinstance(whole, list) else [whole]
        records = [(f"item {number}", each) for number, each in enumerate(whole, 1)]
    found = []
    for where, record in records:
        with tally.reporting(where):
            found.append(_prediction(parse(record) if as_lines else record))
    _refuse_twice(name, twice)
    return found


def _refuse_twice(name: str, keys: Sequence[str]) -> None:
    if keys:
        raise UserError(f"{name}: {_some(keys, 'key')} more than once in an object of JSON.")


def _read_table(path: Path, tally: Tally) -> list[Prediction]:
    """Rows with a header that names `image` and `caption`, or what `caption` prints: name<TAB>text."""
    table = Table(path)
    rows: Records = table
    fields = _fields(dict.fromkeys(table.columns))
    if fields is None and table.delimiter == "\t" and len(table.columns) == 2:
        rows, fields = tabbed_lines(path, 2), ("1", "2")
    if fields is None:
        raise UserError(
            f"{path}:{table.header}: neither JSON nor a header with image and caption. It should hold "
            f"{_LOOKS_LIKE}."
        )
    found = []
    for number, record in rows:
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


class NamedImages:
    """The images of a data set, found by whatever a file calls them.

    Args:
        splits: the images of each split.
    """

    def __init__(self, splits: Mapping[str, Sequence[CaptionedImage]]) -> None:
        self.split = {image.id: name for name, images in splits.items() for image in images}
        self._official: dict[str, set[str]] = {}
        self._ids: dict[str, set[str]] = {}
        self._tails: dict[str, set[str]] = {}  # val/1.jpg as val/1.jpg and 1.jpg
        self._stems: dict[str, set[str]] = {}  # val/1 and 1
        self._numbers: dict[int, set[str]] = {}  # COCO_val2014_000000000042.jpg as 42
        for image in (image for images in splits.values() for image in images):
            if image.facts is not None and "image_id" in image.facts:
                official = str(image.facts["image_id"])
                self._official.setdefault(official, set()).add(image.id)
            name = _plain(image.id)
            self._ids.setdefault(name, set()).add(image.id)
            for tail in _tails(name):
                self._tails.setdefault(tail, set()).add(image.id)
                self._stems.setdefault(_stem(tail), set()).add(image.id)
            if match := re.search(
                r"(?:^|[_-])0*(\d{1,15})$", posixpath.splitext(_tails(name)[-1])[0]
            ):
                self._numbers.setdefault(int(match[1]), set()).add(image.id)

    def find(self, key: Key, split: str) -> set[str]:
        """The ids of the images that a key may mean; of a split, if there is one in it."""
        name = _plain(str(key))
        tails = _tails(name)
        number = re.fullmatch(r"0*(\d{1,15})", name)
        places = [self._official.get(name), self._ids.get(name), *map(self._tails.get, tails)]
        places += [self._stems.get(_stem(tail, whole)) for tail in tails for whole in (True, False)]
        places += [self._numbers.get(int(number[1]))] if number else []
        found = next(filter(None, places), set())
        return {each for each in found if self.split[each] == split} or found


def _plain(name: str) -> str:
    return posixpath.normpath(unicodedata.normalize("NFC", name.strip()).replace("\\", "/"))


def _tails(name: str) -> list[str]:
    """A path without its first folders, the longest first; of a deep one, the last parts."""
    parts = name.split("/")[-_DEEPEST:]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _stem(name: str, whole: bool = False) -> str:
    """A name without its ending, unless it has none, in one case."""
    return (name if whole else posixpath.splitext(name)[0]).casefold()


def matched(
    predictions: Sequence[Prediction],
    splits: Mapping[str, Sequence[CaptionedImage]],
    split: str,
    source: str,
    *,
    subset: bool = False,
) -> dict[str, str]:
    """The caption of each image of a split, by its id, in the order of the file.

    Args:
        predictions: in any order.
        splits: the images of each split of the data.
        split: the one that is scored.
        source: the file, for messages.
        subset: accept captions of some of the images.

    Raises:
        UserError: an image is unknown, of another split, has two captions or, unless a subset is
            accepted, none.
    """
    names = NamedImages(splits)
    wrong: dict[str, list[Key]] = {}
    captions: dict[str, str] = {}
    for key, caption in predictions:
        found = names.find(key, split)
        image = next(iter(found), "")
        if not found:
            wrong.setdefault("that the data set does not have", []).append(key)
        elif len(found) > 1:
            wrong.setdefault("whose name could be of several images", []).append(key)
        elif names.split[image] != split:
            wrong.setdefault(f"of the split {names.split[image]}, not {split}", []).append(key)
        elif image in captions:
            wrong.setdefault("with more than one caption", []).append(key)
        else:
            captions[image] = caption
    problems = [f"{_some(keys, 'image')} {what}" for what, keys in wrong.items()]
    missing = [image.id for image in splits[split] if image.id not in captions]
    if missing and not subset:
        problems.append(f"{_some(missing, 'image')} of {split} without a caption")
    if not problems:
        return captions
    advice = " To score the images that have captions alone: --subset." if missing else ""
    raise UserError(f"{source}: {'; '.join(problems)}.{'' if subset or wrong else advice}")


def _some(names: Sequence[Key], what: str) -> str:
    """How many, and which are the first."""
    several = "" if len(names) == 1 else "s"
    first = ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")
    return f"{len(names):,} {what}{several} ({first})"
