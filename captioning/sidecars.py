"""A text file beside each image, `dog.txt` beside `dog.jpg`, with a caption on each line."""

from __future__ import annotations

import os
from pathlib import Path

from captioning.entries import Entry, Reading, caption_text
from common.data.damage import Damage
from common.data.reading import byte_lines, decode_line
from common.data.splits import split_in


def read_sidecars(files: list[Path]) -> Reading:
    """The captions of each image are the lines of its text file; folders may name the splits."""
    reading = Reading()
    root = Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))
    for file in files:
        stem = Path(os.path.abspath(file)).with_suffix("")
        where = stem.relative_to(root).as_posix() + file.suffix
        with reading.reporting(where):
            captions = _captions(file, where, reading)
            folders = {split_in(part) for part in stem.relative_to(root).parts[:-1]} - {None}
            split = folders.pop() if len(folders) == 1 else None
            reading.entries.append(Entry(str(stem), captions, split, where))
    if any(entry.split is None for entry in reading.entries):  # only some folders have such names
        for entry in reading.entries:
            entry.split = None
    return reading


def _captions(file: Path, where: str, reading: Reading) -> list[str]:
    lines = [line for line in byte_lines(file) if not line.isspace()]
    if not lines:
        raise Damage("no caption in it")
    captions = []
    for number, line in enumerate(lines, 1):
        with reading.captions.reporting(f"{where}:{number}"):
            captions.append(caption_text(decode_line(line), "the caption"))
    return captions
