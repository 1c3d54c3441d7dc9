"""The formats of data sets of images with captions: how each is recognised, and read.

A new format is one file, and needs no change here: `captioning.data.load(folder, format=...)` takes
any `common.data.formats.Format` whose reader gives a `Reading` of the files that it found:

    def read(files: list[Path]) -> Reading:
        reading = Reading()
        for number, line in numbered_lines(files[0]):
            image, caption = line.split(" ", 1)
            reading.entries.append(Entry(image, [caption], None, f"{files[0].name}:{number}"))
        return reading

    data = load(folder, format=Format("mine", "captions.mine", lambda files: files, read))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from captioning.annotations import find_coco, find_karpathy, read_coco, read_karpathy
from captioning.entries import Entry, Read, Reading, caption_text
from captioning.image_folder import spelling
from captioning.parts import not_beside_images, sidecars
from captioning.sidecars import read_sidecars
from captioning.tables import (
    find_csv,
    find_json,
    find_jsonl,
    lacking_in_json,
    lacking_in_lines,
    lacking_in_table,
    read_csv,
    read_json_records,
    read_jsonl,
)
from common.data.damage import Damage
from common.data.formats import Format, named, only, visible_files
from common.data.reading import first_lines, numbered_lines
from common.data.splits import split_name

# ---- flickr: Flickr8k and Flickr30k as their authors publish them

# No tab in the name: Flickr8k's files of human judgements have lines that end like these.
_TOKEN_LINE = re.compile(r"([^\t]+)#(\d+)\t(.*)")
_SPLIT_LIST = re.compile(
    r"(?:.*[._-])?(train|dev|val|valid|validation|test)[._-]?(?:images|imgs)?\.txt", re.IGNORECASE
)


def find_flickr(files: Sequence[Path]) -> list[Path]:
    return [file for file in not_beside_images(files) if is_token_file(file)]


def is_token_file(file: Path) -> bool:
    name = file.name.lower()
    if "lemma" in name:  # Flickr8k's archive also has its captions reduced to base forms
        return False
    if name.endswith((".token", ".token.txt")):
        return True
    first = next(iter(first_lines(file)), "") if name.endswith(".txt") else ""
    return _TOKEN_LINE.fullmatch(first) is not None


def read_flickr(files: list[Path]) -> Reading:
    """Lines `name.jpg#0<TAB>caption`, and lists beside them that name the images of each split."""
    path = only(files, "token file")
    reading = Reading()
    captions = _read_tokens(path, reading)
    lists = _split_lists(path.parent)
    if not lists:
        reading.entries = [Entry(n, texts, None, where) for n, (where, texts) in captions.items()]
        return reading
    for split, file in lists.items():
        listed: dict[str, str] = {}
        for number, line in numbered_lines(file):
            name, where = spelling(line.strip()), f"{file.name}:{number}"
            # Flickr30k's lists leave the extension out.
            name = name if name in captions or f"{name}.jpg" not in captions else f"{name}.jpg"
            with reading.reporting(where):
                if name in listed:
                    raise Damage(f"{name} is there twice (first at {listed[name]})")
                listed[name] = where
                texts = captions[name][1] if name in captions else []
                reading.entries.append(Entry(name, texts, split, where))
    mentioned = {entry.image for entry in reading.entries}
    reading.left_out = [name for name in captions if name not in mentioned]
    return reading


def _split_lists(folder: Path) -> dict[str, Path]:
    lists: dict[str, Path] = {}
    for file in visible_files(folder):
        if match := _SPLIT_LIST.fullmatch(file.name):
            split = split_name(match[1])
            if split in lists:
                only([lists[split], file], f"list of the {split} images")
            lists[split] = file
    return lists


def _read_tokens(path: Path, reading: Reading) -> dict[str, tuple[str, list[str]]]:
    """For each image where it is named first, and its captions."""
    captions: dict[str, tuple[str, list[str]]] = {}
    seen = set()
    source = path.name
    for number, line in numbered_lines(path):
        where = f"{source}:{number}"
        with reading.captions.reporting(where):
            match = _TOKEN_LINE.fullmatch(line)
            if match is None:
                raise Damage(f'not "name.jpg#0<TAB>caption": {line[:60]}')
            name, index = spelling(match[1].strip()), match[2]
            texts = captions.setdefault(name, (where, []))[1]
            if (name, index) in seen:
                raise Damage(f"caption {index} of {name} is there twice")
            seen.add((name, index))
            texts.append(caption_text(match[3], f"caption {index} of {name}"))
    return captions


# In the order in which they are tried: where a folder fits several, the surest sign wins.
FORMATS: tuple[Format[Read], ...] = (
    Format("scenes", "scenes.jsonl", named(r"scenes\.jsonl"), read_jsonl, (".jsonl",)),
    Format("karpathy", "dataset_flickr8k.json", find_karpathy, read_karpathy, (".json",)),
    Format(
        "flickr", "Flickr8k.token.txt or results_20130124.token, and Flickr_8k.trainImages.txt",
        find_flickr, read_flickr, (".txt", ".token"),
    ),
    Format(
        "coco", "annotations/captions_train2017.json, or any .json with images and annotations",
        find_coco, read_coco, (".json",),
    ),
    Format(
        "csv", 'captions.txt, or a .csv or .tsv file, or one for each split: first line "image,caption"',
        find_csv, read_csv, (".csv", ".tsv", ".tab", ".txt"), lacking_in_table,
    ),
    Format(
        "jsonl",
        'captions.jsonl, metadata.jsonl, or train.jsonl and others: {"image": ..., "captions": [...]}',
        find_jsonl, read_jsonl, (".jsonl", ".ndjson"), lacking_in_lines,
    ),
    Format(
        "json", 'a .json file, or one for each split: [{"image": ..., "captions": [...]}]',
        find_json, read_json_records, (".json",), lacking_in_json,
    ),
    Format("text", "dog.txt beside dog.jpg, a caption on each line", sidecars, read_sidecars),
)  # fmt: skip
