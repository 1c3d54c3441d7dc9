"""Records that name an image and its captions: tables, JSON lines, and lists in JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from captioning.annotations import json_kind
from captioning.entries import Entry, Reading, captions_in
from captioning.image_files import is_image_name
from captioning.parts import Part, best_named, not_beside_images, parts_of
from common.data.damage import NOT_UTF_8, Damage
from common.data.formats import plain_stem, with_suffix
from common.data.reading import first_lines
from common.data.records import Fields, Records, Table, json_lines
from common.data.splits import USUAL, split_in, split_name
from common.errors import UserError
from common.files import read_json

# The usual names of fields, without signs between words and in small letters, the surest first.
_IMAGES = (
    *("image", "imagename", "filename", "imagefile", "imagefilename", "imagepath", "filepath"),
    *("img", "imgname", "imgfile", "imgpath", "file", "path", "picture", "photo"),
)
_IDS = ("imageid", "imgid", "photoid")
_CAPTIONS = (
    *("caption", "comment", "text", "sentence", "description", "raw", "imagecaption"),
    *("captiontext", "imagedescription", "reference", "alttext", "title"),
)
_SPLITS = ("split", "partition", "subset")
_KNOWN = (
    "the image under image, img, file_name, filename, file, path, image_path, image_name or image_id; "
    "its captions under caption, text, sentence, comment, description or title, perhaps with a number"
)


class _Fields(NamedTuple):
    """The fields of a record that are read; None for those that it has not."""

    image: str | None
    captions: list[str]
    split: str | None


@lru_cache
def _fields(names: tuple[str, ...]) -> _Fields:
    """The fields that are read: of captions all those of one name, `caption`, `Caption #2`, ..."""
    plain = {name: _plain(name) for name in names}
    known = {plain: name for name, plain in reversed(plain.items())}
    image = next((known[name] for name in (*_IMAGES, *_IDS) if name in known), None)
    captions: list[str] = []
    for usual in _CAPTIONS:
        pattern = re.compile(rf"\d*{usual}s?\d*")
        captions = captions or [name for name in names if pattern.fullmatch(plain[name])]
    return _Fields(image, captions, next((known[name] for name in _SPLITS if name in known), None))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def has_captions(names: tuple[str, ...]) -> bool:
    """Whether fields of these names hold an image and its captions."""
    fields = _fields(names)
    return fields.image is not None and bool(fields.captions)


def _some_captions(names: tuple[str, ...]) -> bool:
    fields = _fields(names)
    return fields.image is not None or bool(fields.captions)


def _lacking(names: tuple[str, ...]) -> str:
    """What is missing among the names of fields, and which would be known."""
    fields = _fields(names)
    lacking = [
        *(["image"] if fields.image is None else []),
        *(["captions"] if not fields.captions else []),
    ]
    found = ", ".join(name[:40] for name in names[:12]) or "none"
    found += ", ..." if len(names) > 12 else ""
    return f"no {' and no '.join(lacking)} among {found}; known are {_KNOWN}"


def read_records(
    parts: Sequence[Part], read: Callable[[Path], Records], notes: Sequence[str] = ()
) -> Reading:
    """Records that may name an image several times; all of them name its split, or none."""
    reading = Reading(notes=[*notes])
    entries: list[Entry] = []
    blank: dict[int, list[Any]] = {}  # what stands for the captions of those that have none
    unread = Counter[str]()
    for part in parts:
        for number, record in read(part.path):
            where = f"{part.path.name}:{number}"
            where = f"{part.folder}/{where}" if part.folder else where
            with reading.reporting(where):
                if isinstance(record, Damage):
                    raise record
                entry, values = _entry(record, where, part, reading)
                if all(map(_is_blank, values)):
                    blank[len(entries)] = values
                entries.append(entry)
                if "scene" not in record:  # which has what else there is
                    image, captions, split = _fields(tuple(record))
                    unread.update(
                        each for each in record if each not in (image, *captions, split, "")
                    )
    _check_blank(entries, blank, reading)
    splits = any(entry.split is not None for entry in entries)
    for entry in entries:
        if splits and entry.split is None:
            reading.records.report(entry.where, 'no "split", which others have')
        else:
            reading.mention(entry)
    if unread:
        names = ", ".join(f"{name} ({count:,})" for name, count in unread.most_common(8))
        names += ", ..." if len(unread) > 8 else ""
        reading.notes.append(f"fields that are not read, and in how many records: {names}")
    return reading


def _check_blank(entries: list[Entry], blank: dict[int, list[Any]], reading: Reading) -> None:
    """Report what has no caption, but in a blind test: where nothing of its split has one.

    Args:
        entries: those without any field of captions are taken out.
        blank: what stands for the captions of those that have none, by their places.
    """
    captioned = {entry.split for entry in entries if entry.captions}
    nameless = set()
    for place, values in blank.items():
        entry = entries[place]
        # A field without captions is left blank; one that is not there may have another name.
        if entry.split in captioned or (entry.split in (None, "train") and not values):
            entry.captions = reading.usable(values, entry.image, entry.where)
            if not values:
                reading.records.report(entry.where, 'no "captions"')
                nameless.add(place)
    entries[:] = [entry for place, entry in enumerate(entries) if place not in nameless]


def _entry(record: Fields, where: str, part: Part, reading: Reading) -> tuple[Entry, list[Any]]:
    """The image of a record with its captions, and the values of its caption fields."""
    fields = _fields(tuple(record))
    image = None if fields.image is None else record[fields.image]
    image = str(image) if isinstance(image, int) and not isinstance(image, bool) else image
    if not isinstance(image, str) or not image.strip():
        raise Damage('no "image"')
    split = part.split if fields.split is None else record[fields.split]
    if split is not None and not isinstance(split, str):
        raise Damage('the "split" is not text')
    values = [record[name] for name in fields.captions]
    # Where there are several fields, an image may have fewer captions.
    written = [value for value in values if not _is_blank(value)]
    captions = reading.usable(chain.from_iterable(map(captions_in, written)), image, where)
    facts = record["scene"] if isinstance(record.get("scene"), dict) else None
    if facts is None and fields.image and _plain(fields.image) in _IDS:
        facts = {"image_id": record[fields.image]}
    split = split_name(split) if split else None
    entry = Entry(image.strip(), captions, split, where, part.folder, facts)
    return entry, written or values[:1]


def _is_blank(value: Any) -> bool:
    return value is None or isinstance(value, str) and not value.strip()


# ---- csv: tables whose first line names the columns


def find_csv(files: Sequence[Path]) -> list[Path]:
    texts = with_suffix(not_beside_images(files), ".csv", ".tsv", ".tab", ".txt")
    texts = [file for file in texts if first_lines(file)]
    return _with_blind({file: [Table(file, errors="replace").columns] for file in texts})


def _with_blind(files: Mapping[Path, Iterable[tuple[str, ...]]]) -> list[Path]:
    """The files that have captions, and those of a blind test beside them: in a file that is named after
    a split, images alone.

    Args:
        files: each with the names of the fields of its first records.
    """
    names = {file: list(each) for file, each in files.items()}
    found = [file for file, each in names.items() if any(map(has_captions, each))]
    blind = [
        file
        for file, each in names.items()
        if file not in found and _is_held_out(file) and any(_fields(one).image for one in each)
    ]
    if not found:  # alone, only what can be no mistake
        blind = [f for f in blind if split_in(plain_stem(f)) == "test" and len(names[f][0]) == 1]
    return best_named(found + blind)


def _is_held_out(file: Path) -> bool:
    """Whether a file is named after a split that need not have captions."""
    split = split_in(plain_stem(file)) or split_in(file.parent.name)
    return split in USUAL and split != "train"


def lacking_in_table(path: Path) -> str | None:
    """Why a table is none of captions; None for a file that is no table."""
    if not first_lines(path):
        return f"{path.name} is empty" if path.stat().st_size == 0 else None
    table = Table(path, errors="replace")
    if any("\ufffd" in name for name in table.columns):
        return f"{path}:{table.header}: {NOT_UTF_8}. Convert the file to UTF-8"
    prose = path.suffix.lower() == ".txt" and "caption" not in path.stem.lower()
    if has_captions(table.columns) or prose and not _some_captions(table.columns):
        return None
    return (
        f"{path}:{table.header}: the first line must name the columns, as image,caption does: "
        + _lacking(table.columns)
    )


def read_csv(files: list[Path]) -> Reading:
    """A header with `image` and `caption` (and perhaps `split`), and a row per image or caption."""
    parts, notes = parts_of(files, "table of captions")
    for part in parts:
        Table(part.path)  # refused where it cannot be read
        lacking = lacking_in_table(part.path)
        if lacking and not (len(parts) > 1 and _is_held_out(part.path)):
            raise UserError(f"{lacking}. Rename the columns, or add that line.")
    return read_records(parts, Table, notes)


# ---- jsonl: a line of JSON for an image, or for a caption


def find_jsonl(files: Sequence[Path]) -> list[Path]:
    lines = with_suffix(not_beside_images(files), ".jsonl", ".ndjson")
    lines = [file for file in lines if file.name != "scenes.jsonl"]
    return _with_blind({file: _keys(json_lines(file)) for file in lines})


def _keys(records: Records) -> Iterator[tuple[str, ...]]:
    """Those of the first few records that are not damaged."""
    for _, record in islice(records, 100):
        if not isinstance(record, Damage):
            yield tuple(record)


def lacking_in_lines(path: Path) -> str | None:
    """Why a file of JSON lines has no captions."""
    first = next(_keys(json_lines(path)), None)
    return f"{path}: {_lacking(first) if first else 'no line of it is a JSON object'}"


def read_jsonl(files: list[Path]) -> Reading:
    """Lines `{"image": ..., "captions": [...]}`, with a `"split"`, or in a file per split."""
    parts, notes = parts_of(files, "file of JSON lines")
    return read_records(parts, json_lines, notes)


# ---- json: a list of such records, or the captions by the names of the images


def find_json(files: Sequence[Path]) -> list[Path]:
    texts = with_suffix(not_beside_images(files), ".json")
    texts = [file for file in texts if json_kind(file) == "records"]
    return _with_blind({file: _keys(json_records(file)) for file in texts})


def lacking_in_json(path: Path) -> str | None:
    """Why a JSON file has no captions; None where it has no records at all."""
    names = next(_keys(json_records(path)), ()) if json_kind(path) == "records" else ()
    return f"{path}: {_lacking(names)}" if _some_captions(names) else None


def read_json_records(files: list[Path]) -> Reading:
    """`[{"image": ..., "captions": [...]}]`, or `{"a.jpg": [...]}`, perhaps within `{"train": ...}`."""
    parts, notes = parts_of(files, "JSON file of captions")
    return read_records(parts, json_records, notes)


def json_records(path: Path) -> Records:
    """The records of a JSON file, each with its place in it."""
    content = read_json(path)
    if isinstance(content, dict) and {split_name(key) for key in content} <= {*USUAL}:
        for key, value in content.items():
            yield from _records(value, f" {key}", {"split": key})
    else:
        yield from _records(content, "", {})


def _records(content: Any, where: str, more: Fields) -> Any:
    if isinstance(content, dict):
        lists = [v for v in content.values() if isinstance(v, list) and _of_objects(v)]
        if len(lists) == 1:
            content = lists[0]
    if isinstance(content, dict):
        if not all(_names_image(*each) for each in islice(content.items(), 100)):
            return
        for name, value in content.items():
            known = isinstance(value, dict)
            yield (
                f"{where} {name}",
                {"image": name, **(value if known else {"captions": value}), **more},
            )
    elif isinstance(content, list):
        for number, record in enumerate(content):
            found = more | record if isinstance(record, dict) else Damage("not an object")
            yield f"{where} [{number}]", found


def _names_image(name: str, value: Any) -> bool:
    """Whether an item of a mapping is an image and its captions, and no setting of a program."""
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value[:9])
    captions = has_captions(("image", *value)) if isinstance(value, dict) else texts
    return captions or is_image_name(name) or name.isdigit()


def _of_objects(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(each, dict) for each in values[:100])
