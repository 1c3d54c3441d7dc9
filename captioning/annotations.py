"""Annotations in one JSON file: those of COCO, and Karpathy's splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from captioning.entries import Entry, Reading, caption_text
from captioning.parts import best_named, not_beside_images, parts_of
from common.data.damage import Damage
from common.data.formats import only, with_suffix
from common.data.splits import split_name
from common.errors import UserError
from common.files import read_json

# COCO's other files, of hundreds of megabytes, have no captions.
_WITHOUT_CAPTIONS = re.compile(r"(instances|person_keypoints|stuff|panoptic|image_info)_\w+\.json")


def json_kind(path: Path) -> str:
    """What a JSON file holds by its content: coco, karpathy, records, or nothing of these: ""."""
    if _WITHOUT_CAPTIONS.fullmatch(path.name):
        return ""
    with suppress(OSError):
        status = path.stat()
        return _kind(path, status.st_mtime_ns, status.st_size)
    return ""


@lru_cache
def _kind(path: Path, changed: int, size: int) -> str:
    try:
        content = read_json(path)
    except UserError:
        return ""
    images, annotations = (
        _first(content.get(key)) if isinstance(content, dict) else None
        for key in ("images", "annotations")
    )
    if images is not None and isinstance(images.get("sentences"), list):
        return "karpathy"
    if images is not None and annotations is not None and "image_id" in annotations:
        return "coco" if "caption" in annotations else ""
    return "records" if isinstance(content, (dict, list)) else ""


def _first(values: Any) -> dict[str, Any] | None:
    first = values[0] if isinstance(values, list) and values else None
    return first if isinstance(first, dict) else None


# ---- karpathy: the splits that papers report on, for Flickr8k, Flickr30k and COCO


def find_karpathy(files: Sequence[Path]) -> list[Path]:
    """`dataset_flickr8k.json` and its like by their names; others by what is in them."""
    own = [file for file in files if re.fullmatch(r"dataset(_\w+)?\.json", file.name)]
    # A large one, which takes seconds to read, is believed by its name.
    own = [f for f in own if f.stat().st_size > 2**24 or json_kind(f) in ("karpathy", "")]
    texts = with_suffix(not_beside_images(files), ".json")
    return own or best_named([file for file in texts if json_kind(file) == "karpathy"])


def read_karpathy(files: list[Path]) -> Reading:
    """`images[]` with `split`, `filename`, perhaps `filepath`, and `sentences[].raw`."""
    path = only(files, "file of Karpathy's splits")
    reading = Reading()
    for number, image in enumerate(_list_in(path, read_json(path), "images")):
        where = f"{path.name}: images[{number}]"
        with reading.reporting(where):
            reading.entries.append(_karpathy_entry(image, where, reading))
    return reading


def _karpathy_entry(image: Any, where: str, reading: Reading) -> Entry:
    if not isinstance(image, dict):
        raise Damage("not an object")
    image = {"sentences": [], **image}  # a blind test has none
    for key, kind in (("filename", str), ("split", str), ("sentences", list)):
        if not isinstance(image.get(key), kind):
            raise Damage(f'no "{key}"')
    raw = [each.get("raw") if isinstance(each, dict) else None for each in image["sentences"]]
    captions = reading.usable(raw, image["filename"], where)
    folder = image.get("filepath")
    folder = folder if isinstance(folder, str) and folder else None
    # Where images are of another data set, others' results have the number in this file.
    number = image.get("cocoid", image.get("imgid"))
    facts = None if number is None else {"image_id": number}
    return Entry(image["filename"], captions, split_name(image["split"]), where, folder, facts)


# ---- coco: the annotations as COCO publishes them

COCO_FILE = re.compile(r"(?:captions|image_info)_(train|val|test)(?:-dev)?(\d{4})\.json")
BLIND = "image_info_"  # files of images without captions


_FILE_NAMES = ("file_name", "filename", "path", "name")


def find_coco(files: Sequence[Path]) -> list[Path]:
    """COCO's own files by their names; others by what is in them."""
    own = [file for file in files if COCO_FILE.fullmatch(file.name)]
    texts = with_suffix(not_beside_images(files), ".json")
    return own or best_named([file for file in texts if json_kind(file) == "coco"])


def read_coco(files: list[Path]) -> Reading:
    """`captions_train2017.json` and its like: `images` and `annotations`, joined by image id."""
    if not all(COCO_FILE.fullmatch(file.name) for file in files):
        parts, notes = parts_of(files, "file of COCO's annotations")
        reading = Reading(notes=notes)
        for part in parts:
            _read_coco_file(*part, reading)
        return reading
    reading = Reading()
    with_captions = [file for file in files if not file.name.startswith(BLIND)]
    years = sorted(
        {match[2] for file in with_captions or files if (match := COCO_FILE.fullmatch(file.name))}
    )
    if len(years) > 1:
        # The years have the same photographs under different names: together they would leak.
        reading.notes.append(f"annotations of {', '.join(years)}: only {years[-1]} is read")
    for path in files:
        match = COCO_FILE.fullmatch(path.name)
        if match is not None and match[2] == years[-1]:
            _read_coco_file(path, match[1], f"{match[1]}{match[2]}", reading)
    return reading


def _read_coco_file(path: Path, split: str | None, folder: str | None, reading: Reading) -> None:
    content, source = read_json(path), path.name
    entries: dict[Any, Entry] = {}
    for number, image in enumerate(_list_in(path, content, "images")):
        where = f"{source}: images[{number}]"
        key = image.get("id") if isinstance(image, dict) else None
        names = [image.get(key) for key in _FILE_NAMES] if isinstance(image, dict) else []
        name = next((each for each in names if isinstance(each, str)), None)
        with reading.reporting(where):
            if not isinstance(key, (int, str)) or name is None:
                raise Damage('no "id" and "file_name"')
            if key in entries:
                raise Damage(f"the image id {key} is there twice")
            entries[key] = Entry(name, [], split, where, folder, {"image_id": key})
    seen: set[Any] = set()
    if isinstance(content, dict):
        content = {"annotations": [], **content}  # a blind test has none
    for number, annotation in enumerate(_list_in(path, content, "annotations")):
        with reading.captions.reporting(f"{source}: annotations[{number}]"):
            _add_coco_caption(annotation, entries, seen)
    reading.entries += entries.values()


def _add_coco_caption(annotation: Any, entries: dict[Any, Entry], seen: set[Any]) -> None:
    if not isinstance(annotation, dict):
        raise Damage("not an object")
    key, number = annotation.get("image_id"), annotation.get("id")
    entry = entries.get(key) if isinstance(key, (int, str)) else None
    if entry is None:
        raise Damage(f"of an image ({key!r}) that the file does not list")
    if isinstance(number, (int, str)):
        if number in seen:
            raise Damage(f"the caption id {number} is there twice")
        seen.add(number)
    text = caption_text(annotation.get("caption"), f"the caption of {entry.image}")
    entry.captions.append(text)


def _list_in(path: Path, content: Any, key: str) -> list[Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise UserError(f'{path}: no list "{key}" in it: another format, or a damaged file.')
    return value
