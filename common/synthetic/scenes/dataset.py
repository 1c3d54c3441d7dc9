"""Writing a data set of generated scenes to disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from common.errors import UserError
from common.files import atomic_folder, atomic_write, read_text
from common.progress import over
from common.synthetic.scenes.generation import SPLITS, generate
from common.synthetic.scenes.scene import Scene


def write_scenes(
    folder: str | os.PathLike[str],
    train: int = 4000,
    val: int = 400,
    held_out: int = 400,
    seed: int = 0,
    size: int = 64,
    most: int = 2,
    fewest: int = 1,
) -> None:
    """Write a data set: a PNG image for each scene, and `scenes.jsonl`, which describes them.

    Its lines are `{"image": "train/000001.png", "split": "train", "size": 64, "captions": [...],
    "scene": {...}}`; `Scene.from_dict` reads the scene. The folder is written atomically. Where the
    same data set exists already, nothing is done.

    Args:
        folder: does not exist, or is empty.
        train, val, held_out: the number of scenes in the splits `train`, `val` and `val_held_out`.
        seed: of all scenes.
        size: width and height of the images in pixels.
        most, fewest: shapes in a scene; 1 to 3.

    Raises:
        UserError: the folder holds anything else.
        ValueError: a number is out of range.
    """
    counts = dict(zip(SPLITS, (train, val, held_out), strict=True))
    if min(counts.values()) < 0 or size < 1 or not 1 <= fewest <= most <= 3:
        raise ValueError(
            f"cannot make {counts} scenes of {size} pixels and {fewest} to {most} shapes"
        )
    folder = Path(folder)
    lines = _lines(counts, seed, size, most, fewest)
    if folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        _check_same(folder, lines, sum(counts.values()))
        return
    with atomic_folder(folder) as unfinished:
        for split in SPLITS:
            (unfinished / split).mkdir()
        with atomic_write(unfinished / "scenes.jsonl") as file:
            total = sum(counts.values())
            for name, scene, line in over(lines, "drawing scenes", total, "scenes", keep=True):
                scene.draw(size).save(unfinished / name, compress_level=1)
                file.write(line)


def _lines(
    counts: Mapping[str, int], seed: int, size: int, most: int, fewest: int
) -> Iterator[tuple[str, Scene, str]]:
    """The name of each image, its scene, and its line in scenes.jsonl."""
    for split, count in counts.items():
        for index in range(count):
            scene, name = generate(seed, index, split, most, fewest), f"{split}/{index:06d}.png"
            line = {"image": name, "split": split, "size": size, "captions": scene.captions()}
            yield name, scene, json.dumps({**line, "scene": scene.to_dict()}) + "\n"


def _check_same(folder: Path, lines: Iterable[tuple[str, Scene, str]], count: int) -> None:
    """Raise UserError unless the folder holds exactly the data set that would be written."""
    path = folder / "scenes.jsonl"
    if not path.is_file():
        raise UserError(f"{folder} holds other files. Choose a new folder for the scenes.")
    there = [line + "\n" for line in read_text(path).split("\n")[:-1]]
    same = len(there) == count and all(
        line == expected and (folder / name).is_file()
        for (name, _, expected), line in zip(lines, there, strict=True)
    )
    if not same:
        raise UserError(
            f"{folder} holds scenes that were made with other settings, or are damaged. "
            "Choose another folder, or delete this one."
        )
