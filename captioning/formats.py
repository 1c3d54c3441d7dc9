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

from pathlib import Path

from captioning.entries import Read
from captioning.json_formats import COCO, JSONL, KARPATHY, SCENES
from captioning.text_formats import CSV, FLICKR
from common.data.formats import Format, visible_files

# Folders of a data set that may hold the captions; the images are beside them.
TEXT_FOLDERS = ("annotations", "flickr8k_text")

# In the order in which they are tried: where a folder fits several, the surest sign wins.
FORMATS: tuple[Format[Read], ...] = (SCENES, KARPATHY, FLICKR, COCO, CSV, JSONL)


def text_files(folder: Path) -> list[Path]:
    """The files that may hold captions: of the folder, and of its folders of annotations."""
    files = visible_files(folder)
    for entry in sorted(folder.iterdir()):
        if entry.name.lower() in TEXT_FOLDERS and entry.is_dir():
            files += visible_files(entry)
    return files
