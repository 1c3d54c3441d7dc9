"""The formats in which people have images with captions: how each is recognised, and read."""

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

# Folders of a data set that may hold the captions; the images lie beside them.
TEXT_FOLDERS = ("annotations", "flickr8k_text")


class Damage(Exception):
    """Why one item of a data set is skipped; its place in the file is added where it is caught."""


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

    def report(self, where: str, what: object) -> None:
        """Add a problem, on one line even if a name in it has line ends."""
        text = f"{where}: {what}"
        self.problems.append("".join(char if char.isprintable() else "?" for char in text))

    def usable(self, captions: list[Any], image: str, where: str) -> list[str]:
        """The captions of an image without the empty and malformed ones, which are reported."""
        texts = []
        for number, caption in enumerate(captions):
            try:
                texts.append(caption_text(caption))
            except Damage as damage:
                self.report(where, f"caption {number} of {image} {damage}")
        return texts


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
        names = ", ".join(each.name for each in FORMATS)
        raise UserError(f"there is no data format {name!r}. The formats are {names}.")
    files = [path] if path.is_file() else _text_files(path)
    found = [(each, its_files) for each in formats if (its_files := each.find(files))]
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


def _text_files(folder: Path) -> list[Path]:
    """The files that may hold captions: of the folder, and of its folders of annotations."""
    inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in inside if entry.is_file()]
    for entry in inside:
        if entry.name.lower() in TEXT_FOLDERS and entry.is_dir():
            files += sorted(file for file in entry.iterdir() if file.is_file())
    return files


# ---- what the formats share


def split_name(name: str) -> str:
    """The project's name of a split: `dev` is val, `restval` is train; other names stay."""
    lower = name.strip().lower()
    usual = {"dev": "val", "valid": "val", "validation": "val", "restval": "train"}
    return usual.get(lower, lower if lower in ("train", "val", "test") else name.strip())


def caption_text(caption: Any) -> str:
    """A caption on one line, without the blanks at its ends and the doubled ones inside.

    Raises:
        Damage: it is empty, or no text at all.
    """
    if not isinstance(caption, str):
        raise Damage("is not text")
    text = " ".join(caption.split())
    if not text:
        raise Damage("is empty")
    if not is_unicode(text):
        raise Damage("holds half a character")
    return text


def is_unicode(text: str) -> bool:
    """False for text with a lone surrogate, which JSON can spell and no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, numbered from 1, whichever system ended them.

    Raises:
        UserError: the file is missing or is not UTF-8.
    """
    # Not str.splitlines: it also splits at characters that occur inside captions (U+2028, U+0085).
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not line.isspace():
            yield number, line


def _first_line(file: Path) -> str:
    with open(file, "rb") as opened:
        return opened.readline(4096).decode("utf-8-sig", errors="replace").rstrip("\r\n")


def _only(files: list[Path], what: str) -> Path:
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UserError(
            f"{files[0].parent}: more than one {what} ({names}). "
            "Name the one that is meant instead of the folder, or keep only that one."
        )
    return files[0]


def _list_in(path: Path, content: Any, key: str) -> list[Any]:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list):
        raise UserError(f'{path}: no list "{key}" in it: another format, or a damaged file.')
    return value


# ---- flickr: Flickr8k and Flickr30k as their authors publish them

# No tab in the name: Flickr8k's files of human judgements have lines that end like these.
_TOKEN_LINE = re.compile(r"([^\t]+)#(\d+)\t(.*)")
_SPLIT_LIST = re.compile(
    r"(?:.*[._-])?(train|dev|val|valid|validation|test)[._-]?(?:images|imgs)?\.txt", re.IGNORECASE
)


def _find_flickr(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if _is_token_file(file)]


def _is_token_file(file: Path) -> bool:
    name = file.name.lower()
    if "lemma" in name:  # Flickr8k's archive also has its captions reduced to base forms
        return False
    if name.endswith((".token", ".token.txt")):
        return True
    return name.endswith(".txt") and _TOKEN_LINE.fullmatch(_first_line(file)) is not None


def read_flickr(files: list[Path]) -> Reading:
    """Lines `name.jpg#0<TAB>caption`, and lists beside them that name the images of each split."""
    path = _only(files, "token file")
    reading = Reading()
    captions = _read_tokens(path, reading)
    lists = _split_lists(path.parent)
    if not lists:
        for name, (where, texts) in captions.items():
            reading.entries.append(Entry(name, texts, None, where))
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


def _split_lists(folder: Path) -> dict[str, Path]:
    lists: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        match = None if file.name.startswith(".") else _SPLIT_LIST.fullmatch(file.name)
        if match is None:
            continue
        split = split_name(match[1])
        if split in lists:
            _only([lists[split], file], f"list of the {split} images")
        lists[split] = file
    return lists


def _read_tokens(path: Path, reading: Reading) -> dict[str, tuple[str, list[str]]]:
    """For each image where it is named first, and its captions."""
    captions: dict[str, tuple[str, list[str]]] = {}
    seen = set()
    source = path.name
    for number, line in numbered_lines(path):
        where = f"{source}:{number}"
        match = _TOKEN_LINE.fullmatch(line)
        if match is None:
            reading.report(where, f'not "name.jpg#0<TAB>caption": {line[:60]}')
            continue
        name, index = match[1].strip(), match[2]
        texts = captions.setdefault(name, (where, []))[1]
        try:
            if (name, index) in seen:
                raise Damage("is there twice")
            texts.append(caption_text(match[3]))
        except Damage as damage:
            reading.report(where, f"caption {index} of {name} {damage}")
        seen.add((name, index))
    return captions


# ---- csv: a table with a row per caption, as Kaggle has Flickr8k and Flickr30k

_IMAGE_COLUMNS = ("image", "image_name", "filename", "file_name")
_CAPTION_COLUMNS = ("caption", "comment", "text")
_LINES_OF_A_ROW = 20  # a quote that is still open after so many lines was never meant to be one


def _find_csv(files: Sequence[Path]) -> list[Path]:
    usual = [file for file in files if file.stem.lower() == "captions"]
    usual = [file for file in usual if file.suffix.lower() in (".txt", ".csv", ".tsv")]
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
    source = path.name
    for number, row in _csv_rows(lines[1:], delimiter, width):
        where = f"{source}:{number}"
        try:
            if len(row) != width:
                raise Damage(_csv_damage(row, width, delimiter))
            image = row[columns["image"]].strip()
            split = split_name(row[columns["split"]]) if "split" in columns else None
            entry = entries.setdefault((image, split), Entry(image, [], split, where))
            entry.captions += reading.usable([row[columns["caption"]]], image, where)
        except Damage as damage:
            reading.report(where, damage)
    reading.entries = list(entries.values())
    return reading


def _csv_damage(row: list[str], width: int, delimiter: str) -> str:
    what = f"{len(row)} columns instead of {width}" if row else "a quote too few or too many"
    if delimiter != ",":
        return what
    return f"{what} (a caption with commas or quotes in it needs double quotes around it)"


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
        row: list[str] = []
        used = 1
        if delimiter == "|":  # Flickr30k: quotes mean nothing, and the caption comes last
            row = line.split("|", width - 1)
        for count in range(1, _LINES_OF_A_ROW + 1):
            if row:
                break
            text = "\n".join(line for _, line in lines[position : position + count])
            try:
                row, used = next(csv.reader([text], delimiter=delimiter, strict=True)), count
            except csv.Error as error:
                if "unexpected end" not in str(error):
                    break
        yield number, row
        position += used


# ---- karpathy: the splits that papers report on, for Flickr8k, Flickr30k and COCO


def _find_karpathy(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if re.fullmatch(r"dataset(_\w+)?\.json", file.name)]


def read_karpathy(files: list[Path]) -> Reading:
    """`images[]` with `split`, `filename`, perhaps `filepath`, and `sentences[].raw`."""
    path = _only(files, "file of Karpathy's splits")
    reading = Reading()
    for number, image in enumerate(_list_in(path, read_json(path), "images")):
        where = f"{path.name}: images[{number}]"
        try:
            reading.entries.append(_karpathy_entry(image, where, reading))
        except Damage as damage:
            reading.report(where, damage)
    return reading


def _karpathy_entry(image: Any, where: str, reading: Reading) -> Entry:
    if not isinstance(image, dict):
        raise Damage("not an object")
    for key, kind in (("filename", str), ("split", str), ("sentences", list)):
        if not isinstance(image.get(key), kind):
            raise Damage(f'no "{key}"')
    raw = [each.get("raw") if isinstance(each, dict) else None for each in image["sentences"]]
    captions = reading.usable(raw, image["filename"], where)
    folder = image.get("filepath")
    folder = folder if isinstance(folder, str) and folder else None
    facts = {"image_id": image["cocoid"]} if "cocoid" in image else None
    return Entry(image["filename"], captions, split_name(image["split"]), where, folder, facts)


# ---- coco: the annotations as COCO publishes them

_COCO_FILE = re.compile(r"captions_(train|val|test)(\d{4})\.json")


def _find_coco(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if _COCO_FILE.fullmatch(file.name)]


def read_coco(files: list[Path]) -> Reading:
    """`captions_train2017.json` and its like: `images` and `annotations`, joined by image id."""
    reading = Reading()
    years = sorted({match[2] for file in files if (match := _COCO_FILE.fullmatch(file.name))})
    if len(years) > 1:
        # The years share their photographs under different names: together they would leak.
        reading.notes.append(f"annotations of {', '.join(years)}: only {years[-1]} is read")
    for path in files:
        match = _COCO_FILE.fullmatch(path.name)
        if match is None:
            _read_coco_file(path, None, None, reading)  # a file of another name, which was named
        elif match[2] == years[-1]:
            _read_coco_file(path, match[1], f"{match[1]}{match[2]}", reading)
    return reading


def _read_coco_file(path: Path, split: str | None, folder: str | None, reading: Reading) -> None:
    content, source = read_json(path), path.name
    entries: dict[Any, Entry] = {}
    for number, image in enumerate(_list_in(path, content, "images")):
        where = f"{source}: images[{number}]"
        key, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (0, 0)
        if not isinstance(key, (int, str)) or not isinstance(name, str):
            reading.report(where, 'no "id" and "file_name"')
        elif key in entries:
            reading.report(where, f"the image id {key} is there twice")
        else:
            entries[key] = Entry(name, [], split, where, folder, {"image_id": key})
    seen: set[Any] = set()
    for number, annotation in enumerate(_list_in(path, content, "annotations")):
        try:
            _add_coco_caption(annotation, entries, seen)
        except Damage as damage:
            reading.report(f"{source}: annotations[{number}]", damage)
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
    try:
        entry.captions.append(caption_text(annotation.get("caption")))
    except Damage as damage:
        raise Damage(f"the caption of {entry.image} {damage}") from None


# ---- jsonl and scenes: a line of JSON per image


def _find_scenes(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if file.name == "scenes.jsonl"]


def _find_jsonl(files: Sequence[Path]) -> list[Path]:
    lines = [file for file in files if file.suffix.lower() == ".jsonl"]
    lines = [file for file in lines if file.name != "scenes.jsonl"]
    captions = [file for file in lines if file.stem.lower() == "captions"]
    return [file for file in lines if _jsonl_split(file)] or captions or lines


def _jsonl_split(file: Path) -> str | None:
    split = split_name(file.stem)
    return split if split in ("train", "val", "test") else None


def read_jsonl(files: list[Path]) -> Reading:
    """Lines `{"image": ..., "captions": [...]}`, with a `"split"`, or in a file per split."""
    if not all(_jsonl_split(file) for file in files):
        _only(files, "file of JSON lines")
    reading = Reading()
    for path in files:
        source, split = path.name, _jsonl_split(path)
        for number, line in numbered_lines(path):
            where = f"{source}:{number}"
            try:
                reading.entries.append(_jsonl_entry(line, where, split, reading))
            except Damage as damage:
                reading.report(where, damage)
    without = [entry for entry in reading.entries if entry.split is None]
    if len(without) < len(reading.entries):
        for entry in without:
            reading.report(entry.where, 'no "split", which other lines have')
        reading.entries = [entry for entry in reading.entries if entry.split is not None]
    return reading


def _jsonl_entry(line: str, where: str, file_split: str | None, reading: Reading) -> Entry:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise Damage(f"not JSON ({getattr(error, 'msg', error)})") from None
    except RecursionError:
        raise Damage("not usable JSON (nested too deeply)") from None
    if not isinstance(record, dict):
        raise Damage("not an object")
    for key, kind in (("image", str), ("captions", list)):
        if not isinstance(record.get(key), kind):
            raise Damage(f'no {"list " if kind is list else ""}"{key}"')
    split = record.get("split", file_split)
    if split is not None and not isinstance(split, str):
        raise Damage('the "split" is not text')
    captions = reading.usable(record["captions"], record["image"], where)
    facts = record["scene"] if isinstance(record.get("scene"), dict) else None
    split = None if split is None else split_name(split)
    return Entry(record["image"], captions, split, where, facts=facts)


# In the order in which they are tried: where a folder fits several, the surest sign wins.
FORMATS = (
    Format("scenes", "scenes.jsonl", _find_scenes, (".jsonl",), read_jsonl),
    Format("karpathy", "dataset_flickr8k.json", _find_karpathy, (".json",), read_karpathy),
    Format(
        name="flickr",
        looks_like="Flickr8k.token.txt or results_20130124.token, and Flickr_8k.trainImages.txt",
        find=_find_flickr,
        suffixes=(".txt", ".token"),
        read=read_flickr,
    ),
    Format("coco", "annotations/captions_train2017.json", _find_coco, (".json",), read_coco),
    Format(
        name="csv",
        looks_like='captions.txt or a .csv file, first line "image,caption"',
        find=_find_csv,
        suffixes=(".csv", ".tsv", ".txt"),
        read=read_csv,
    ),
    Format(
        name="jsonl",
        looks_like='captions.jsonl, or train.jsonl and others: {"image": ..., "captions": [...]}',
        find=_find_jsonl,
        suffixes=(".jsonl",),
        read=read_jsonl,
    ),
)
