"""The files that may hold a data set's captions, and the splits and folders that their places name."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from captioning.image_files import image_stem, is_image_name, walk_files
from common.data.formats import only, plain_name, plain_stem, visible_files
from common.data.splits import USUAL, split_in, split_name

TEXT_FOLDERS = ("annotations", "flickr8k_text")
"""Folders of a data set that may hold the captions; the images are beside them."""

SIDECAR_SUFFIXES = (".txt", ".caption")


class Part(NamedTuple):
    """A file of a data set.

    Args:
        path: of the file.
        split: of all that it holds; None where each record names its own, or none does.
        folder: in which its images lie, for a file beside the images of its split.
    """

    path: Path
    split: str | None = None
    folder: str | None = None


def text_files(folder: Path) -> list[Path]:
    """The files that may hold captions: of the folder, of its folders of annotations and of splits,
    and texts anywhere that have the name of an image, each with such an image."""
    found = dict.fromkeys(visible_files(folder))
    inside = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    nested = folder / "data"  # as repositories of Hugging Face have it
    inside += sorted(nested.iterdir()) if nested.is_dir() else []
    for entry in [nested, *inside]:
        usual = entry == nested or entry.name.lower() in TEXT_FOLDERS or split_in(entry.name)
        if usual and entry.is_dir():
            found.update(dict.fromkeys(_without_images(entry)))
    names = sorted(walk_files(folder))
    images = {posixpath.basename(image_stem(name)): name for name in names if is_image_name(name)}
    for name in names:
        stem, ending = os.path.splitext(posixpath.basename(name))
        if ending.lower() in SIDECAR_SUFFIXES and stem in images:
            found[folder / name] = found[folder / images[stem]] = None
    return [*found]


def _without_images(folder: Path) -> Iterator[Path]:
    """The visible files of a folder that may hold 100,000 images, without these."""
    names = sorted(entry.name for entry in os.scandir(folder) if not is_image_name(entry.name))
    for name in names:
        if not name.startswith(".") and (folder / name).is_file():
            yield folder / name


def sidecars(files: Sequence[Path]) -> list[Path]:
    """The text files that have the name of an image among the files, but for the ending."""
    images = {image_stem(file.name) for file in files if is_image_name(file.name)}
    return [f for f in files if f.suffix.lower() in SIDECAR_SUFFIXES and f.stem in images]


def not_beside_images(files: Sequence[Path]) -> list[Path]:
    """The files of which none has the name of an image among them, nor is one."""
    images = {image_stem(file.name) for file in files if is_image_name(file.name)}
    alone = [file for file in files if not is_image_name(file.name)]
    return [file for file in alone if file.stem not in images] if images else alone


def best_named(files: Sequence[Path]) -> list[Path]:
    """Of several files those whose names are usual: train and val, or captions, or metadata."""
    stems = {file: plain_stem(file).lower() for file in files}
    splits = [file for file in files if split_name(stems[file]) in USUAL]
    if len({split_name(stems[file]) for file in splits}) > 1:
        return splits
    for usual in ("captions", "metadata", "_annotations.coco"):
        if found := [file for file in files if stems[file] == usual]:
            return found
    return splits or list(files)


def parts_of(files: Sequence[Path], what: str) -> tuple[list[Part], list[str]]:
    """The files with their splits, by their names (train.csv, captions_val.csv) or by their folders
    (train/metadata.jsonl), or else the only file; and notes of those that are left out.

    Raises:
        UserError: there are several of a split, or several and none is of a split.
    """
    if len(files) == 1:
        split = split_name(plain_stem(files[0]))
        return [Part(files[0], split if split in USUAL else None)], []
    root = Path(os.path.commonpath([file.parent for file in files]))
    found: dict[str, list[Part]] = {}
    left: list[Path] = []
    for file in files:
        folder = None if file.parent == root else file.parent.name
        split_of_file = split_in(plain_stem(file)) or split_in(folder or "")
        if split_of_file is None:
            left.append(file)
        else:
            found.setdefault(split_of_file, []).append(Part(file, split_of_file, folder))
    if not found:
        return [Part(only(files, what))], []
    for split, parts in found.items():
        only([part.path for part in parts], f"{what} of the split {split}")
    names = ", ".join(plain_name(file) for file in left[:6])
    notes = [f"left out, because their names are of no split: {names}"] if left else []
    return [found[split][0] for split in USUAL if split in found], notes
