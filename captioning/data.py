"""Images with captions: what a data set is, and how one is loaded from a folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from captioning.entries import Entry, Read, Reading
from captioning.formats import FORMATS, TEXT_FOLDERS, text_files
from captioning.image_files import ImageFolder, is_image_name
from common.data.damage import Damage, Tally
from common.data.dataset import DataSet
from common.data.encodings import text_encoding
from common.data.formats import Format, find_format
from common.data.splits import SeededSplits, check_fractions, divided_split
from common.errors import UserError

VAL_FRACTION = 0.1  # of images without splits, or without val


@dataclass(slots=True)
class CaptionedImage:
    """One image and its reference captions.

    Args:
        id: its name in the data set; unique.
        path: its file.
        captions: at least one; each on one line, otherwise as written.
        facts: anything else: the scene of a generated picture, the official id of COCO.
    """

    id: str
    path: Path
    captions: list[str]
    facts: dict[str, Any] | None = None


def captions_digest(images: Sequence[CaptionedImage]) -> str:
    """A digest of names and captions: equal where the same images come in the same order."""
    digest = hashlib.blake2b(digest_size=16)
    for image in images:
        digest.update(json.dumps([image.id, image.captions]).encode())
    return digest.hexdigest()


@dataclass
class CaptionData(DataSet[list[CaptionedImage]]):
    """A data set of images with captions; see `DataSet`."""

    item: ClassVar[str] = "image"

    def table(self) -> list[str]:
        """The images and captions of each split; words are what blanks separate."""
        lines = [
            f"{self.name} ({self.format})",
            "split           images   captions   words per caption (longest)",
        ]
        for name, images in self.splits.items():
            lengths = [len(caption.split()) for image in images for caption in image.captions]
            words = f"{sum(lengths) / max(1, len(lengths)):.1f} ({max(lengths, default=0)})"
            lines.append(f"{name:<12}{len(images):>10,}{len(lengths):>11,}{words:>20}")
        return lines


def load(
    path: str | os.PathLike[str],
    format: str | Format[Read] | None = None,
    *,
    images: str | os.PathLike[str] | None = None,
    seed: int = 0,
    val_fraction: float | None = None,
    test_fraction: float = 0.1,
    max_problems: float = 0.01,
    encoding: str | None = None,
) -> CaptionData:
    """Load a data set of images with captions.

    Args:
        path: its folder; or, if a folder holds several data sets, the file with the captions.
        format: flickr, csv, karpathy, coco, jsonl or scenes, or a format of your own
            (`captioning.formats`); None recognises it.
        images: the folder of the images, if they are elsewhere.
        seed: of the splits that are drawn.
        val_fraction: fraction of the images in val, for data without splits, of those in train where
            there is no val, and of those in val where there is no train; at least one, if another is
            left. None: 0.1 for data without splits, and other data stay as they are.
        test_fraction: fraction of the images in test, for data without splits.
        max_problems: fraction of damaged records, captions and pictures that are skipped (and
            listed in `problems`), each counted by itself; more are an error.
        encoding: of the text files, by a name that Python knows; None: UTF-8, or UTF-16 where a file is
            in it.

    Raises:
        UserError: no folder, no known format or encoding, no image, or too much damage.
    """
    path = Path(path)
    fraction = VAL_FRACTION if val_fraction is None else val_fraction
    check_fractions(fraction, test_fraction, max_problems, "image")
    with text_encoding(encoding):
        found = find_format(
            path, FORMATS, format, what="images with captions", list_files=text_files
        )
        reading = found.format.read(found.files)
    root = Path(images) if images is not None else _root(path)
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder of images.")

    pictures = Tally()
    found_splits = _assemble(reading, root, found.files[0].name, pictures)
    undivided = found_splits.pop(None, [])
    splits = {str(name): each for name, each in found_splits.items()}
    origin = None if undivided else divided_split(splits, val_fraction)
    drawn = SeededSplits(seed, fraction, 0.0 if origin else test_fraction)
    _divide(splits, splits.pop(origin) if origin else undivided, drawn)
    damage = {"records": reading.records, "captions": reading.captions, "pictures": pictures}
    notes = [*found.notes(), *reading.notes]
    data = CaptionData(found.name, found.format.name, splits, damage, notes)
    data.note_splits(drawn, origin, given=val_fraction not in (None, VAL_FRACTION))
    with text_encoding(encoding):
        data.check(path, max_problems, found.files)
    return data


def _root(path: Path) -> Path:
    if path.is_dir():
        return path
    folder = path.parent
    return folder.parent if folder.name.lower() in TEXT_FOLDERS else folder


def _divide(
    splits: dict[str, list[CaptionedImage]], images: list[CaptionedImage], drawn: SeededSplits
) -> None:
    """Add images to the splits that are drawn for them."""
    names = [drawn(image.id) for image in images]
    if drawn.settle():
        names = [drawn(image.id) for image in images]
    for image, name in zip(images, names, strict=True):
        splits.setdefault(name, []).append(image)


def _assemble(
    reading: Reading, root: Path, source: str, pictures: Tally
) -> dict[str | None, list[CaptionedImage]]:
    """Find each entry's file and keep each image once; `pictures` counts them, and gets what fails.

    Returns:
        The images of each split; of None those of data without splits.
    """
    folder = ImageFolder(root)
    kept: dict[str, Entry] = {}  # by file
    mentioned: set[str] = set()
    for entry in reading.entries:
        with pictures.reporting(entry.where):
            entry.image, file = folder.locate(entry.image, entry.folder)
            mentioned.add(file)
            if entry.split is None and file in kept:
                entry.split = kept[file].split
            _keep(kept, file, entry)
    if reading.entries and not mentioned:
        raise UserError(
            f"none of the {len(reading.entries):,} images that {source} names is in {root} "
            f"(the first: {reading.entries[0].image}). Put them there, in a folder images/ for "
            "example, or name the folder that they are in."
        )
    reading.notes += _notes(reading, folder, mentioned)
    splits: dict[str | None, list[CaptionedImage]] = {}
    for file, entry in kept.items():
        image = CaptionedImage(entry.image, root / file, entry.captions, entry.facts)
        splits.setdefault(entry.split, []).append(image)
    return splits


def _keep(kept: dict[str, Entry], file: str, entry: Entry) -> None:
    """Add an entry to those that are kept, unless something is wrong with it.

    Raises:
        Damage: it has no caption, or it is in another split too. It is kept in test rather than val,
            and in val rather than train, so that nothing leaks into training.
    """
    if not entry.captions:
        raise Damage(f"{entry.image} has no caption")
    if entry.split is not None and not re.fullmatch(r"\w[\w.-]*", entry.split):
        split = repr(entry.split)
        raise Damage(f"{entry.image} is in no split, or in one without a usable name: {split}")
    earlier = kept.setdefault(file, entry)
    if earlier is entry:
        return
    if entry.split == earlier.split:  # by another name
        earlier.captions += entry.captions
        return
    order = {"train": 0, "val": 2, "test": 3}
    winner = max(earlier, entry, key=lambda each: order.get(each.split or "", 1))
    if winner is entry:
        del kept[file]  # so that it takes its place in the order of its own split
        kept[file] = entry
    raise Damage(
        f"{entry.image} is in {entry.split} and in {earlier.split} ({earlier.where}): "
        f"kept in {winner.split} only"
    )


def _notes(reading: Reading, folder: ImageFolder, mentioned: set[str]) -> Iterator[str]:
    """What a user should know of, and need not put right."""
    if reading.left_out:
        count, first = len(reading.left_out), reading.left_out[0]
        yield f"left out, because no split list names them: {count:,} ({first}, ...)"
    for name in reading.left_out:
        with contextlib.suppress(Damage):
            mentioned.add(folder.locate(name)[1])
    unused = sorted(file for file in folder.files - mentioned if is_image_name(file))
    if unused:
        yield f"image files without a caption: {len(unused):,} ({unused[0]}, ...)"
