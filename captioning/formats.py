"""The formats in which people have images with captions: one recogniser and one reader for each."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from common.files import read_json, read_text


@dataclass(slots=True)
class Entry:
    """What a data set says of one image.

    Args:
        image: the image's name, as the data set writes it.
        captions: its captions, none of them empty.
        split: train, val, test or another name; None where the data set has no splits.
        where: file and line, or file and item, for messages.
        folder: the folder in which the format keeps the image, where it has one.
        facts: what else is known of the image: the scene of a generated picture, an official id.
    """

    image: str
    captions: list[str]
    split: str | None
    where: str
    folder: str | None = None
    facts: dict[str, Any] | None = None


@dataclass
class Reading:
    """What a reader found: the entries in file order, and what was wrong.

    Args:
        entries: one per mention of an image.
        problems: damage that was skipped, one line each, with file and line.
        notes: remarks on what is unusual, but no damage.
        left_out: images that have captions, but are in no split.
    """

    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class Format(NamedTuple):
    """A format: its name, what it looks like, how its files are found among others, its reader."""

    name: str
    looks_like: str
    find: Callable[[Sequence[Path]], list[Path]]
    suffixes: tuple[str, ...]
    read: Callable[[list[Path]], Reading]


def find_format(path: Path, name: str | None = None) -> tuple[Format, list[Path], list[str]]:
    """The format of a folder (or of one data file), its files, and the other formats it could be.

    Args:
        path: a folder, or one data file in it.
        name: the format, where the user names it; None recognises it.

    Raises:
        UserError: nothing of that format, or of any format, is there.
    """
    formats = [each for each in FORMATS if name in (None, each.name)]
    if not formats:
        raise UserError(
            f"there is no data format {name!r}. "
            f"The formats are {', '.join(each.name for each in FORMATS)}."
        )
    files = _data_files(path)
    found = [(each, each.find(files)) for each in formats]
    found = [(each, its_files) for each, its_files in found if its_files]
    if not found and name is not None:
        # A named format may have a file name of its own, if it can be only one.
        alike = [file for file in files if file.suffix.lower() in formats[0].suffixes]
        found = [(formats[0], alike)] if len(alike) == 1 else []
    if not found:
        seen = ", ".join(sorted(file.name for file in files)[:6]) or "no files"
        known = "; ".join(f"{each.name}: {each.looks_like}" for each in formats)
        raise UserError(
            f"{path}: no images with captions in a known format here (found: {seen}). "
            f"Looked for {known}."
        )
    return found[0][0], found[0][1], [each.name for each, _ in found[1:]]


def _data_files(path: Path) -> list[Path]:
    """The files that may hold captions: of the folder, and of its usual folders of annotations."""
    if path.is_file():
        # Flickr's split lists belong to a token file that is named alone.
        lists = [file for file in sorted(path.parent.iterdir()) if _list_split(file)]
        return [path, *(file for file in lists if file != path)]
    folders = [path, *(path / name for name in ("annotations", "Flickr8k_text", "flickr8k_text"))]
    return [
        file
        for folder in folders
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if not file.name.startswith(".") and file.is_file()
    ]


# ---- what the formats share


def split_name(name: str) -> str:
    """The project's name of a split: `dev` is val, `restval` is train; other names stay."""
    lower = name.strip().lower()
    usual = {"dev": "val", "valid": "val", "validation": "val", "restval": "train"}
    return usual.get(lower, lower if lower in ("train", "val", "test") else name.strip())


def clean_caption(text: str) -> str:
    """A caption on one line, without the blanks at its ends and the doubled ones inside."""
    return " ".join(text.split())


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers from 1, whichever system ended them; no blanks.

    Raises:
        UserError: the file is missing or is not UTF-8.
    """
    # Not str.splitlines: it also splits at characters that occur inside captions (U+2028, U+0085).
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not line.isspace():
            yield number, line


def _only(files: list[Path], what: str) -> Path:
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UserError(
            f"{files[0].parent}: more than one {what} ({names}). "
            "Name the one that is meant instead of the folder, or keep only that one."
        )
    return files[0]


def _usable_captions(captions: list[Any], image: str, where: str, problems: list[str]) -> list[str]:
    """The captions of one image without the empty and the malformed ones, which are reported."""
    usable = []
    for number, caption in enumerate(captions):
        if not isinstance(caption, str):
            problems.append(f"{where}: caption {number} of {image} is not text")
        elif not (text := clean_caption(caption)):
            problems.append(f"{where}: caption {number} of {image} is empty")
        elif not _is_utf8(text):
            problems.append(f"{where}: caption {number} of {image} holds half a character")
        else:
            usable.append(text)
    return usable


def _is_utf8(text: str) -> bool:
    """False for text with a lone surrogate, which JSON can spell and no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---- flickr: Flickr8k and Flickr30k as their authors publish them

_TOKEN_LINE = re.compile(r"(.+)#(\d+)\t(.*)")
_SPLIT_LIST = re.compile(
    r"(?:.*[._-])?(train|dev|val|valid|validation|test)[._-]?(?:images|imgs)?\.txt", re.IGNORECASE
)


def _list_split(path: Path) -> str | None:
    match = _SPLIT_LIST.fullmatch(path.name)
    return split_name(match[1]) if match else None


def _find_flickr(files: Sequence[Path]) -> list[Path]:
    tokens = [file for file in files if _is_token_file(file)]
    return tokens and tokens + [file for file in files if _list_split(file)]


def _is_token_file(file: Path) -> bool:
    name = file.name.lower()
    if name.endswith((".token", ".token.txt")):
        return "lemma" not in name  # Flickr8k's text archive also has the captions lemmatised
    return name == "captions.txt" and _TOKEN_LINE.fullmatch(_first_line(file)) is not None


def _first_line(file: Path) -> str:
    with open(file, "rb") as opened:
        return opened.readline(4096).decode("utf-8-sig", errors="replace").rstrip("\r\n")


def read_flickr(files: list[Path]) -> Reading:
    """Lines `name.jpg#0<TAB>caption`, and lists that name the images of each split."""
    reading = Reading()
    lists: dict[str, Path] = {}
    for file in files:
        split = _list_split(file)
        if split and split in lists:
            _only([lists[split], file], f"list of the {split} images")
        if split:
            lists[split] = file
    captions = _read_tokens(
        _only([file for file in files if not _list_split(file)], "token file"), reading
    )
    if not lists:
        reading.entries = [
            Entry(name, texts, None, where) for name, (where, texts) in captions.items()
        ]
        return reading
    listed = set()
    for split, file in lists.items():
        for number, line in numbered_lines(file):
            name = line.strip()
            # Flickr30k's lists leave the extension out.
            name = name if name in captions or f"{name}.jpg" not in captions else f"{name}.jpg"
            listed.add(name)
            texts = captions[name][1] if name in captions else []
            reading.entries.append(Entry(name, texts, split, f"{file.name}:{number}"))
    reading.left_out = [name for name in captions if name not in listed]
    return reading


def _read_tokens(path: Path, reading: Reading) -> dict[str, tuple[str, list[str]]]:
    """For each image where it is named first, and its captions."""
    captions: dict[str, tuple[str, list[str]]] = {}
    seen = set()
    for number, line in numbered_lines(path):
        where = f"{path.name}:{number}"
        match = _TOKEN_LINE.fullmatch(line)
        if match is None:
            reading.problems.append(f'{where}: not "name.jpg#0<TAB>caption": {line[:60]!r}')
            continue
        name, index, text = match[1].strip(), match[2], clean_caption(match[3])
        texts = captions.setdefault(name, (where, []))[1]
        if (name, index) in seen:
            reading.problems.append(f"{where}: caption {index} of {name} is there twice")
        elif not text:
            reading.problems.append(f"{where}: caption {index} of {name} is empty")
        else:
            texts.append(text)
        seen.add((name, index))
    return captions


# ---- csv: a table with a row per caption, as Kaggle has Flickr8k and Flickr30k

_IMAGE_COLUMNS = ("image", "image_name", "filename", "file_name")
_CAPTION_COLUMNS = ("caption", "comment", "caption_text")
_QUOTED_LINES = (
    20  # more lines than that are not a quoted caption, but a quote that is never closed
)


def _find_csv(files: Sequence[Path]) -> list[Path]:
    usual = [
        file
        for file in files
        if file.name.lower() in ("captions.txt", "captions.csv", "captions.tsv")
    ]
    usual = [file for file in usual if not _is_token_file(file)]
    tables = (file for file in files if file.suffix.lower() in (".csv", ".tsv"))
    return usual or [file for file in tables if _csv_columns(_first_line(file)) is not None]


def _csv_columns(header: str) -> tuple[str, dict[str, int], int] | None:
    """The delimiter, the position of image, caption and split, and the number of columns."""
    for delimiter in ("|", "\t", ","):
        names = [name.strip().strip('"').lower() for name in header.split(delimiter)]
        image = next((names.index(name) for name in _IMAGE_COLUMNS if name in names), None)
        caption = next((names.index(name) for name in _CAPTION_COLUMNS if name in names), None)
        if image is not None and caption is not None:
            columns = {"image": image, "caption": caption}
            if "split" in names:
                columns["split"] = names.index("split")
            return delimiter, columns, len(names)
    return None


def read_csv(files: list[Path]) -> Reading:
    """A header with `image` and `caption` (and perhaps `split`), and a row per caption."""
    path = _only(files, "table of captions")
    reading = Reading()
    lines = list(numbered_lines(path))
    shape = _csv_columns(lines[0][1]) if lines else None
    if shape is None:
        raise UserError(
            f"{path}:1: the first line must name the columns: image,caption. "
            "Add that line, or name the format that the file has."
        )
    delimiter, columns, width = shape
    entries: dict[tuple[str, str | None], Entry] = {}
    for number, row in _csv_rows(lines[1:], delimiter, width):
        where = f"{path.name}:{number}"
        if len(row) != width:
            hint = "; a caption with commas or quotes in it needs double quotes around it"
            found = (
                f"{len(row)} columns instead of {width}" if row else "a quote too few or too many"
            )
            reading.problems.append(f"{where}: {found}{hint if delimiter == ',' else ''}")
            continue
        image, caption = row[columns["image"]].strip(), clean_caption(row[columns["caption"]])
        split = split_name(row[columns["split"]]) if "split" in columns else None
        entry = entries.setdefault((image, split), Entry(image, [], split, where))
        if caption:
            entry.captions.append(caption)
        else:
            reading.problems.append(f"{where}: the caption of {image} is empty")
    reading.entries = list(entries.values())
    return reading


def _csv_rows(
    lines: list[tuple[int, str]], delimiter: str, width: int
) -> Iterator[tuple[int, list[str]]]:
    """The fields of each row, none if its quotes are damaged, with the number of its first line.

    Rows are parsed one at a time so that a quote that is never closed spoils one row, not all the
    rest of the file.
    """
    position = 0
    while position < len(lines):
        number, line = lines[position]
        if delimiter == "|":  # Flickr30k: quotes mean nothing, and the caption comes last
            yield number, line.split("|", width - 1)
            position += 1
            continue
        row, used = [], 1
        for count in range(1, _QUOTED_LINES + 1):
            text = "\n".join(line for _, line in lines[position : position + count])
            try:
                row, used = next(csv.reader([text], delimiter=delimiter, strict=True)), count
                break
            except csv.Error as error:
                if "unexpected end" not in str(error):
                    break
        yield number, row
        position += used


# ---- karpathy: the splits that papers report on, for Flickr8k, Flickr30k and COCO


def _find_karpathy(files: Sequence[Path]) -> list[Path]:
    return [
        file for file in files if re.fullmatch(r"dataset(_\w+)?\.json", file.name, re.IGNORECASE)
    ]


def read_karpathy(files: list[Path]) -> Reading:
    """`images[]` with `split`, `filename`, perhaps `filepath`, and `sentences[].raw`."""
    path = _only(files, "file of Karpathy's splits")
    reading = Reading()
    for number, image in enumerate(_list_in(path, read_json(path), "images")):
        where = f"{path.name}: images[{number}]"
        if not isinstance(image, dict) or not isinstance(image.get("filename"), str):
            reading.problems.append(f'{where}: no "filename"')
            continue
        name, folder, split = image["filename"], image.get("filepath"), image.get("split")
        sentences = image.get("sentences")
        if not isinstance(split, str) or not isinstance(sentences, list):
            missing = "sentences" if isinstance(split, str) else "split"
            reading.problems.append(f'{where}: {name} has no "{missing}"')
            continue
        raw = [each.get("raw") if isinstance(each, dict) else None for each in sentences]
        captions = _usable_captions(raw, name, where, reading.problems)
        facts = {"image_id": image["cocoid"]} if "cocoid" in image else None
        folder = folder if isinstance(folder, str) and folder else None
        reading.entries.append(Entry(name, captions, split_name(split), where, folder, facts))
    return reading


def _list_in(path: Path, content: Any, key: str) -> list[Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise UserError(
            f'{path}: no list "{key}" in it: not a file of this format, or a damaged one.'
        )
    return value


# ---- coco: the annotations as COCO publishes them

_COCO_FILE = re.compile(r"captions_(train|val|test)(\d{4})\.json")


def _find_coco(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if _COCO_FILE.fullmatch(file.name)]


def read_coco(files: list[Path]) -> Reading:
    """`captions_train2017.json` and its like: `images` and `annotations`, joined by image id."""
    reading = Reading()
    years = {match[2] for file in files if (match := _COCO_FILE.fullmatch(file.name))}
    if len(years) > 1:
        # The years share their photographs under different names: together they would leak.
        reading.notes.append(
            f"annotations of {', '.join(sorted(years))}: only {max(years)} is read"
        )
    for path in files:
        match = _COCO_FILE.fullmatch(path.name)
        if match is None:
            split, folder = "train", None  # a file of another name, which the user chose
        elif match[2] == max(years):
            split, folder = match[1], f"{match[1]}{match[2]}"
        else:
            continue
        _read_coco_file(path, split, folder, reading)
    return reading


def _read_coco_file(path: Path, split: str, folder: str | None, reading: Reading) -> None:
    content = read_json(path)
    problems = reading.problems
    entries: dict[Any, Entry] = {}
    for number, image in enumerate(_list_in(path, content, "images")):
        where = f"{path.name}: images[{number}]"
        key = image.get("id") if isinstance(image, dict) else None
        if not isinstance(key, (int, str)) or not isinstance(image.get("file_name"), str):
            problems.append(f'{where}: no "id" and "file_name"')
        elif key in entries:
            problems.append(f"{where}: the image id {key} is there twice")
        else:
            entries[key] = Entry(image["file_name"], [], split, where, folder, {"image_id": key})
    seen = set()
    for number, annotation in enumerate(_list_in(path, content, "annotations")):
        where = f"{path.name}: annotations[{number}]"
        key = annotation.get("image_id") if isinstance(annotation, dict) else None
        entry = entries.get(key) if isinstance(key, (int, str)) else None
        own_id = annotation.get("id") if isinstance(annotation, dict) else None
        if entry is None:
            problems.append(f"{where}: of an image ({key!r}) that the file does not list")
        elif isinstance(own_id, (int, str)) and own_id in seen:
            problems.append(f"{where}: the caption id {own_id} is there twice")
        else:
            seen.add(own_id if isinstance(own_id, (int, str)) else None)
            seen.discard(None)
            entry.captions += _usable_captions(
                [annotation.get("caption")], entry.image, where, problems
            )
    reading.entries += entries.values()


# ---- jsonl and scenes: a line of JSON per image


def _find_scenes(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if file.name == "scenes.jsonl"]


def _find_jsonl(files: Sequence[Path]) -> list[Path]:
    lines = [
        file for file in files if file.suffix.lower() == ".jsonl" and file.name != "scenes.jsonl"
    ]
    for usual in (_jsonl_split, lambda file: file.name.lower() == "captions.jsonl"):
        if chosen := [file for file in lines if usual(file)]:
            return chosen
    return lines


def _jsonl_split(file: Path) -> str | None:
    split = split_name(file.stem)
    return split if split in ("train", "val", "test") else None


def read_jsonl(files: list[Path]) -> Reading:
    """Lines `{"image": ..., "captions": [...]}`, with a `"split"`, or in a file per split."""
    if not all(_jsonl_split(file) for file in files):
        _only(files, "file of JSON lines")
    reading = Reading()
    for path in files:
        for number, line in numbered_lines(path):
            where = f"{path.name}:{number}"
            entry = _jsonl_entry(line, where, _jsonl_split(path), reading.problems)
            if entry is not None:
                reading.entries.append(entry)
    without = [entry for entry in reading.entries if entry.split is None]
    if without and len(without) < len(reading.entries):
        reading.problems += [
            f'{entry.where}: no "split", which other lines have' for entry in without
        ]
        reading.entries = [entry for entry in reading.entries if entry.split is not None]
    return reading


def _jsonl_entry(
    line: str, where: str, file_split: str | None, problems: list[str]
) -> Entry | None:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        problems.append(f"{where}: not JSON ({reason})")
        return None
    if not isinstance(record, dict) or not isinstance(record.get("image"), str):
        problems.append(f'{where}: no "image"')
        return None
    image, captions, split = record["image"], record.get("captions"), record.get("split")
    if not isinstance(captions, list):
        problems.append(f'{where}: {image} has no list "captions"')
        return None
    if not isinstance(split, (str, type(None))):
        problems.append(f'{where}: the "split" of {image} is not text')
        return None
    captions = _usable_captions(captions, image, where, problems)
    scene = record.get("scene")
    facts = scene if isinstance(scene, dict) else None
    split = split_name(split) if split is not None else file_split
    return Entry(image, captions, split, where, facts=facts)


FORMATS = (
    Format("scenes", "scenes.jsonl", _find_scenes, (".jsonl",), read_jsonl),
    Format("karpathy", "dataset_flickr8k.json", _find_karpathy, (".json",), read_karpathy),
    Format(
        "flickr",
        "Flickr8k.token.txt or results_20130124.token, and Flickr_8k.trainImages.txt...",
        _find_flickr,
        (".txt", ".token"),
        read_flickr,
    ),
    Format("coco", "annotations/captions_train2017.json", _find_coco, (".json",), read_coco),
    Format(
        "csv",
        'captions.txt or .csv, first line "image,caption"',
        _find_csv,
        (".csv", ".tsv", ".txt"),
        read_csv,
    ),
    Format(
        "jsonl",
        'captions.jsonl, or train.jsonl, val.jsonl: {"image": ..., "captions": [...]}',
        _find_jsonl,
        (".jsonl",),
        read_jsonl,
    ),
)
