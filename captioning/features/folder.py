"""A folder of features of images: the layout that the cache writes and that `--features` reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioning.image_files import walk_files
from captioning.image_folder import spelling
from common.data.arrays import map_array
from common.data.damage import Damage
from common.errors import UserError, one_line
from common.files import expanded, open_regular, read_text

ARRAY, MIRRORED, NAMES = "features.npy", "features-mirrored.npy", "names.txt"


class FeatureFolder:
    """Features of images by any network (CLIP, bottom-up attention, ...), read from disk as needed.

    A folder has one of two layouts:

        features.npy            (N, S, C), or (N, C): S regions, or one vector, for each image
        names.txt               N lines in UTF-8, the image of each row; an empty line: no image
        features-mirrored.npy   the same for the images flipped left to right; optional

    or a file for each image, with the image's name, with or without its suffix:

        123.npy, 123.jpg.npy    (S, C), or (C,); S may differ between images
        123.npz                 the same: its only array, or the one with the name features

    Numbers are float16 or float32. Arrays are memory-mapped (a .npz cannot be), and nothing pickled
    is loaded. An image val/123.jpg is searched as val/123.jpg, val/123, 123.jpg and 123.

    Args:
        path: of the folder.

    Attributes:
        names: (N,) of the images, as the folder writes them; "" for a row of no image.
        feature_size: C.
        regions: whether the features are of regions, (S, C), and not one vector for each image.
        mirrored: whether there are features of the mirrored images.

    Raises:
        UserError: there is no such folder, it has neither layout, or it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = expanded(path)
        if not self.path.is_dir():
            raise UserError(f"{self.path}: there is no such folder of features (--features).")
        self._arrays: list[np.ndarray] = []
        self._files: list[Path] = []
        self.names = self._open_arrays() if (self.path / ARRAY).is_file() else self._open_files()
        self.regions = len(self._shape) == 2
        self.feature_size = self._shape[-1]
        self.mirrored = len(self._arrays) == 2
        self._rows = {spelling(name): row for row, name in enumerate(self.names) if name}
        if len(self._rows) < len(self.names) - self.names.count(""):
            twice = next(
                n for row, n in enumerate(self.names) if n and self._rows[spelling(n)] != row
            )
            raise UserError(f"{self.path} has features of {twice} twice. Remove one of them.")
        self._finite = np.zeros((2, len(self.names)), bool)  # rows that were checked

    def __reduce__(self) -> tuple[type[FeatureFolder], tuple[Path]]:
        # Pickled as its path: another process opens the files itself.
        return FeatureFolder, (self.path,)

    def locate(self, name: str) -> int | None:
        """The row of an image by its name or path; None if it has none."""
        parts = spelling(name).replace(os.sep, "/").split("/")
        for start in range(len(parts)):
            whole = "/".join(parts[start:])
            for each in (whole, os.path.splitext(whole)[0]):
                if each in self._rows:
                    return self._rows[each]
        return None

    def find(self, names: Iterable[str]) -> tuple[list[int], np.ndarray, list[tuple[int, str]]]:
        """Find images by their names or paths.

        Returns:
            The positions in `names` of those that have features, their rows (F,) here, and for each
            of the others its position and one line with the reason.
        """
        rows: dict[int, int] = {}  # by position
        problems = []
        for position, name in enumerate(names):
            try:
                row = self.locate(name)
                if row is None:
                    raise Damage(f"{self.path} has no features of {name}")
                self._values(row, 0)
                rows[position] = row
            except Damage as damage:
                problems.append((position, str(damage)))
        return [*rows], np.array([*rows.values()], np.int64), problems

    def read(
        self, rows: Sequence[int] | np.ndarray, mirrored: Sequence[bool] | np.ndarray | None = None
    ) -> tuple[Tensor, ...]:
        """The encoder's arguments for some images.

        Args:
            rows: (B,) their rows; at least one.
            mirrored: (B,) those to flip left to right; None: none.

        Returns:
            The features (B, S, C) or (B, C), float16 where all of them are, else float32. Where
            images differ in S, also a mask (B, S): True at regions, False at padding.

        Raises:
            UserError: a file is damaged, or a number is not finite.
            ValueError: there are no mirrored images.
            IndexError: there is no such row.
        """
        rows = np.asarray(rows, np.int64)
        sides = np.zeros(len(rows), int) if mirrored is None else np.asarray(mirrored, int)
        if sides.any() and not self.mirrored:
            raise ValueError(f"{self.path} has no features of mirrored images")
        try:
            values = [self._values(row, side) for row, side in zip(rows, sides, strict=True)]
        except Damage as damage:
            raise UserError(f"{damage}. Write it again, or remove it.") from None
        half = all(each.dtype == np.float16 for each in values)
        shape = np.max([each.shape for each in values], axis=0)
        result = np.zeros((len(rows), *shape), np.float16 if half else np.float32)
        for place in np.argsort(rows):  # in the order on the disk
            result[place, : len(values[place])] = values[place]
        new = np.flatnonzero(~self._finite[sides, rows])
        if not np.isfinite(result[new]).all():
            row = next(int(rows[k]) for k in new if not np.isfinite(result[k]).all())
            where = self._files[row] if self._files else f"{self.path}: {self.names[row]}"
            raise UserError(f"{where}: its features are not finite. Compute them again.")
        self._finite[sides, rows] = True
        lengths = torch.tensor([len(each) for each in values])
        if not self.regions or int(lengths.min()) == shape[0]:
            return (torch.from_numpy(result),)
        return torch.from_numpy(result), torch.arange(shape[0]) < lengths.unsqueeze(1)

    def _values(self, row: int, side: int) -> np.ndarray:
        """Those of one image; Damage if its file is damaged, or of another shape than the others."""
        if self._arrays:
            return self._arrays[side][row]
        values = _load(self._files[row])
        if (values.ndim, values.shape[-1]) != (len(self._shape), self._shape[-1]):
            there, others = values.shape, self._shape
            raise Damage(f"{self._files[row]} is of shape {there}, where others are {others}")
        return values

    def _open_arrays(self) -> list[str]:
        names = self.path / NAMES
        if not names.is_file():
            raise UserError(
                f"{names} is missing: it names the image of each row of {ARRAY}, one a line. (A "
                "feature cache has it once it is finished.)"
            )
        found = read_text(names).removesuffix("\n").split("\n")
        files = [self.path / name for name in (ARRAY, MIRRORED) if (self.path / name).is_file()]
        try:
            # A plain view of the memory map, which is faster to index.
            self._arrays = [np.asarray(_load(file)) for file in files]
        except Damage as damage:
            raise UserError(f"{damage}. Write it again.") from None
        self._shape = self._arrays[0].shape[1:]
        for file, array in zip(files, self._arrays, strict=True):
            if array.ndim not in (2, 3) or array.shape != (len(found), *self._shape):
                raise UserError(
                    f"{file} is of shape {array.shape}: it must be (N, S, C) or (N, C) for the "
                    f"{len(found)} lines of {NAMES}, and {MIRRORED} of the shape of {ARRAY}."
                )
        return [name.rstrip("\r") for name in found]

    def _open_files(self) -> list[str]:
        names = sorted(n for n in walk_files(self.path) if n.endswith((".npy", ".npz")))
        self._files = [self.path / name for name in names]
        problem = (
            f"{self.path} holds no features: neither {ARRAY} with {NAMES}, nor a .npy or .npz file "
            "for each image"
        )
        for file in self._files:  # the first undamaged one determines the shape
            try:
                self._shape = _load(file).shape
                if len(self._shape) < 3:
                    return [os.path.splitext(name)[0] for name in names]
                problem = f"{file} is of shape {self._shape}, and not (S, C) or (C,)"
            except Damage as damage:
                problem = str(damage)
        raise UserError(f"{problem}.")


def _load(file: Path) -> np.ndarray:
    """The array in a .npy file, memory-mapped, or in a .npz file.

    Raises:
        Damage: there is none, or none of floating-point numbers.
    """
    try:
        if file.suffix != ".npz":
            found = map_array(file, links=True)
        else:
            with open_regular(file, links=True) as opened, np.load(opened) as several:
                names = several.files
                found = several[names[0] if len(names) == 1 else "features"]
    except Exception as error:  # damaged bytes make numpy and zipfile raise almost anything
        raise Damage(
            f"{file} cannot be read as an array: it is damaged, has no array with the name features, "
            f"or holds pickled objects, which are never loaded ({one_line(error)})"
        ) from None
    if found.dtype.kind != "f" or not found.ndim or not found.size:
        raise Damage(f"{file} has {found.dtype} of shape {found.shape}, not features in floats")
    return found
