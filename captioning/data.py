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
from captioning.formats import FORMATS
from captioning.image_files import is_image_name
from captioning.image_folder import ImageFolder, ImageNames
from captioning.parts import TEXT_FOLDERS, text_files
from captioning.picture_formats import unreadable_lines
from common.data.damage import Damage, Tally
from common.data.dataset import DataSet
from common.data.encodings import text_encoding
from common.data.formats import Format, find_format
from common.data.splits import SeededSplits, check_fractions, divided_split
from common.errors import UserError
from common.files import expanded

VAL_FRACTION = 0.1  # of images without splits, or without val


@dataclass(slots=True)
class CaptionedImage:
    """One image and its reference captions.

    Args:
        id: its name in the data set; unique.
        path: its file.
        captions: each on one line, otherwise as written; none, where the whole split has none.
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

    def captioned(self, name: str) -> list[CaptionedImage]:
        """The images of a split that has reference captions.

        Raises:
            UserError: as `split`; or it has none, as a blind test has.
        """
        images = self.split(name)
        if not any(image.captions for image in images):
            raise UserError(
                f"the {len(images):,} images of {name} in {self.name} have no reference captions: they "
                "can be described, but not learnt from, and what is written cannot be scored."
            )
        return images

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
    names_only: bool = False,
    encoding: str | None = None,
) -> CaptionData:
    """Load a data set of images with captions.

    Args:
        path: its folder; or, if a folder holds several data sets, the file with the captions.
        format: flickr, csv, karpathy, coco, jsonl, json, text or scenes, or a format of your own
            (`captioning.formats`); None recognises it.
        images: the folder of the images, if they are elsewhere.
        seed: of the splits that are drawn.
        val_fraction: fraction of the images in val, for data without splits, of those in train where
            there is no val, and of those in val where there is no train; at least one, if another is
            left. None: 0.1 for data without splits, and other data stay as they are.
        test_fraction: fraction of the images in test, for data without splits.
        max_problems: fraction of damaged records, captions and pictures that are skipped (and
            listed in `problems`), each counted by itself; more are an error.
        names_only: do without the pictures: whether they are there is not looked at.
        encoding: of the text files, by a name that Python knows; None: UTF-8, or UTF-16 where a file is
            in it.

    Raises:
        UserError: no folder, no known format or encoding, no image, or too much damage.
    """
    path = expanded(path)
    fraction = VAL_FRACTION if val_fraction is None else val_fraction
    check_fractions(fraction, test_fraction, max_problems, "image")
    with text_encoding(encoding):
        found = find_format(
            path, FORMATS, format, what="images with captions", list_files=text_files
        )
        reading = found.format.read(found.files)
    root = expanded(images) if images is not None else _root(path)
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder of images.")

    pictures = Tally()
    folder = (ImageNames if names_only else ImageFolder)(root)
    found_splits = _assemble(reading, folder, found.files[0].name, pictures)
    undivided = found_splits.pop(None, [])
    splits = {str(name): each for name, each in found_splits.items()}
    origin = None if undivided else divided_split(splits, val_fraction)
    drawn = SeededSplits(seed, fraction, 0.0 if origin else test_fraction)
    _divide(splits, splits.pop(origin) if origin else undivided, drawn)
    damage = {"records": reading.records, "captions": reading.captions, "pictures": pictures}
    notes = [*found.notes(), *reading.notes]
    data = CaptionData(found.name, found.format.name, splits, damage, notes)
    data.note_splits(drawn, origin, given=val_fraction not in (None, VAL_FRACTION))
    lost = {entry.split for entry in reading.entries if entry.split} - splits.keys()
    with text_encoding(encoding):
        data.check(path, max_problems, found.files, lost=lost)
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
    reading: Reading, folder: ImageFolder, source: str, pictures: Tally
) -> dict[str | None, list[CaptionedImage]]:
    """Find each entry's file and keep each image once; `pictures` counts them, and gets what fails.

    Returns:
        The images of each split; of None those of data without splits.
    """
    root, blind = folder.root, _without_references(reading.entries)
    _leave_out_absent(reading, folder, blind)
    kept: dict[str, Entry] = {}  # by file
    mentioned: set[str] = set()
    for entry in reading.entries:
        with pictures.reporting(entry.where):
            entry.image, file = folder.locate(entry.image, entry.folder)
            mentioned.add(file)
            if entry.split is None and file in kept:
                entry.split = kept[file].split
            _keep(kept, file, entry, blind)
    if reading.entries and not mentioned:
        where = "has one file alone in" if "ambiguous" in pictures.problems[0] else "is in"
        raise UserError(
            f"none of the {len(reading.entries):,} images that {source} names {where} {root}. Put them "
            "there, in a folder images/ for example, or name the folder that they are in, --images DIR "
            f"(images= in code). The first problem: {pictures.problems[0]}."
        )
    reading.notes += _notes(reading, folder, mentioned)
    reading.notes += [f"{name}: no image has a reference caption" for name in sorted(blind)]
    splits: dict[str | None, list[CaptionedImage]] = {}
    for file, entry in kept.items():
        image = CaptionedImage(entry.image, root / file, entry.captions, entry.facts)
        splits.setdefault(entry.split, []).append(image)
    return splits


def _without_references(entries: Sequence[Entry]) -> set[str]:
    """The splits of which no image has a caption: blind tests. What names no split is test then."""
    splits = {entry.split for entry in entries} - {e.split for e in entries if e.captions}
    if None in splits:
        for entry in entries:
            entry.split = entry.split or "test"
    return {split or "test" for split in splits}


def _leave_out_absent(reading: Reading, folder: ImageFolder, blind: set[str]) -> None:
    """Leave out blind tests whose pictures nobody has fetched, as of COCO: who trains does without."""

    def is_there(entry: Entry) -> bool:
        with contextlib.suppress(Damage):
            return bool(folder.locate(entry.image, entry.folder))
        return False

    for name in sorted(blind):
        rest = [entry for entry in reading.entries if entry.split != name]
        theirs = [entry for entry in reading.entries if entry.split == name]
        if rest and not any(map(is_there, theirs)):
            reading.entries, count = rest, len(theirs)
            reading.notes.append(
                f"{name}: left out, because none of its {count:,} pictures is there"
            )
            blind.remove(name)


def _keep(kept: dict[str, Entry], file: str, entry: Entry, blind: set[str]) -> None:
    """Add an entry to those that are kept, unless something is wrong with it.

    Raises:
        Damage: it has no caption, where others of its split have some, or it is in another split too.
            It is kept in test rather than val, and in val rather than train, so that nothing leaks
            into training.
    """
    if not entry.captions and entry.split not in blind:
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
    if folder.elsewhere:
        count, (name, file) = len(folder.elsewhere), next(iter(folder.elsewhere.items()))
        yield f"images found by the ends of their paths: {count:,} ({name} is {file}, ...)"
    yield from unreadable_lines(sorted(folder.files))
    unused = sorted(file for file in folder.files - mentioned if is_image_name(file))
    if unused:
        yield f"image files without a caption: {len(unused):,} ({unused[0]}, ...)"
