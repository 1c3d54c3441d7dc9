"""Writing a data set of generated sentences to disk, as line-aligned files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from common.data.damage import Tally
from common.data.pairs import AlignedLines
from common.data.reading import decode_line
from common.errors import UserError
from common.files import atomic_folder, read_json, write_json
from common.progress import Bar
from common.synthetic.phrases.sampling import SPLITS, Split, available, phrases

_VERSION = 1
_COMPARED = 100  # pairs of each split, to detect another version of the grammar


def write_phrases(
    folder: str | os.PathLike[str],
    *,
    train: int = 25_000,
    val: int = 500,
    held_out: int = 500,
    seed: int = 0,
) -> None:
    """Write a data set: `train.en`, `train.ko`, `val.*`, `val_held_out.*`, and `phrases.json`.

    Line n of a `.ko` file is the only correct translation of line n of its `.en` file. The folder
    is written atomically. Where the same data set exists already, nothing is done. Memory use does
    not grow with the number of sentences.

    Args:
        folder: does not exist, or is empty.
        train, val, held_out: the number of pairs in the splits `train`, `val`, `val_held_out`.
        seed: of all splits.

    Raises:
        UserError: the folder holds anything else.
        ValueError: there are not so many sentences.
    """
    sizes: dict[Split, int] = dict(zip(SPLITS, (train, val, held_out), strict=True))
    for split, size in sizes.items():
        if not 0 <= size <= available(split):
            raise ValueError(f"{size:,} of the {available(split):,} sentences for {split}")
    folder = Path(folder)
    if folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        _check_same(folder, sizes, seed)
        return
    with atomic_folder(folder) as unfinished:
        total = sum(sizes.values())
        with Bar("writing phrases", total, "pairs", keep=True) as bar:
            for split, size in sizes.items():
                _write_split(unfinished, split, size, seed, bar)
        write_json(unfinished / "phrases.json", _description(unfinished, sizes, seed))


def _write_split(folder: Path, split: Split, size: int, seed: int, bar: Bar) -> None:
    english, korean = _files(folder, split)
    with (
        open(english, "x", encoding="utf-8") as source,
        open(korean, "x", encoding="utf-8") as target,
    ):
        for pair in phrases(size, split, seed=seed):
            source.write(pair.source + "\n")
            target.write(pair.target + "\n")
            bar.advance()


def _files(folder: Path, split: Split) -> tuple[Path, Path]:
    return folder / f"{split}.en", folder / f"{split}.ko"


def _description(folder: Path, sizes: Mapping[Split, int], seed: int) -> dict[str, Any]:
    """The content of phrases.json: the arguments, and the sizes of the files in bytes."""
    return {
        "version": _VERSION,
        "source": "en",
        "target": "ko",
        "seed": seed,
        "pairs": dict(sizes),
        "bytes": {
            file.name: file.stat().st_size for split in SPLITS for file in _files(folder, split)
        },
    }


def _check_same(folder: Path, sizes: Mapping[Split, int], seed: int) -> None:
    """Raise UserError unless the folder holds exactly the data set that would be written."""
    if not (folder / "phrases.json").is_file():
        raise UserError(f"{folder} holds other files. Choose a new folder for the phrases.")
    try:
        same = read_json(folder / "phrases.json") == _description(folder, sizes, seed)
    except FileNotFoundError:
        same = False
    if not same or not all(_begins_alike(folder, split, sizes[split], seed) for split in SPLITS):
        raise UserError(
            f"{folder} holds phrases that were made with other settings, or are damaged. "
            "Choose another folder, or delete this one."
        )


def _begins_alike(folder: Path, split: Split, size: int, seed: int) -> bool:
    expected = list(islice(phrases(size, split, seed=seed), _COMPARED))
    blocks = AlignedLines(*_files(folder, split)).blocks(Tally())
    sources, targets, _ = next(blocks, ([], [], []))
    there = zip(map(decode_line, sources), map(decode_line, targets), strict=True)
    return list(islice(there, _COMPARED)) == expected
