"""The formats in which people have images with captions: how each is recognised, and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from captioning.entries import Reading
from captioning.json_formats import (
    find_coco,
    find_jsonl,
    find_karpathy,
    find_scenes,
    read_coco,
    read_jsonl,
    read_karpathy,
)
from captioning.text_formats import find_csv, find_flickr, read_csv, read_flickr
from common.data.formats import Format, visible_files

# Folders of a data set that may hold the captions; the images lie beside them.
TEXT_FOLDERS = ("annotations", "flickr8k_text")

Read = Callable[[list[Path]], Reading]


def text_files(folder: Path) -> list[Path]:
    """The files that may hold captions: of the folder, and of its folders of annotations."""
    files = visible_files(folder)
    for entry in sorted(folder.iterdir()):
        if entry.name.lower() in TEXT_FOLDERS and entry.is_dir():
            files += visible_files(entry)
    return files


# In the order in which they are tried: where a folder fits several, the surest sign wins.
FORMATS: tuple[Format[Read], ...] = (
    Format("scenes", "scenes.jsonl", find_scenes, (".jsonl",), read_jsonl),
    Format("karpathy", "dataset_flickr8k.json", find_karpathy, (".json",), read_karpathy),
    Format(
        name="flickr",
        looks_like="Flickr8k.token.txt or results_20130124.token, and Flickr_8k.trainImages.txt",
        find=find_flickr,
        suffixes=(".txt", ".token"),
        read=read_flickr,
    ),
    Format("coco", "annotations/captions_train2017.json", find_coco, (".json",), read_coco),
    Format(
        name="csv",
        looks_like='captions.txt or a .csv file, first line "image,caption"',
        find=find_csv,
        suffixes=(".csv", ".tsv", ".txt"),
        read=read_csv,
    ),
    Format(
        name="jsonl",
        looks_like='captions.jsonl, or train.jsonl and others: {"image": ..., "captions": [...]}',
        find=find_jsonl,
        suffixes=(".jsonl",),
        read=read_jsonl,
    ),
)
