"""The feature cache: features of images computed once, in the layout that `FeatureFolder` reads."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from captioning.backbone import Backbone
from captioning.features.folder import ARRAY, MIRRORED, NAMES, FeatureFolder
from captioning.transform import ImageTransform, image_batches
from common.compute.device import naming_batch_size, to_host, upload
from common.compute.precision import arithmetic
from common.data.arrays import map_array
from common.errors import UserError
from common.files import (
    atomic_write,
    make_folder,
    open_regular,
    read_json,
    short_digest,
    write_json,
)  # fmt: skip
from common.progress import Bar, warn

LARGEST = torch.finfo(torch.float16).max


def cached_features(
    directory: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    backbone: Backbone,
    transform: ImageTransform,
    *,
    names: Sequence[str] | None = None,
    grid: bool = True,
    mirror: bool = False,
    batch_size: int = 64,
) -> tuple[FeatureFolder, dict[int, str]]:
    """The features of these images by this network: opened if they are there, else computed.

    There is one folder for each network, state of its weights, transform, list of images, and value
    of the options except the last. A build that was killed is resumed, and one process at a time
    builds. If an image file has changed since, all features are computed again; those of a deleted
    one are kept. The network computes in float32 on every device: a GPU does not round to
    TensorFloat-32. Features are stored in float16.

    Args:
        directory: of all caches; each is a folder in it.
        paths: (N,) the images. One that cannot be read has no features.
        backbone: the network, as it is now, on its device.
        transform: from an image to the network's input.
        names: (N,) of the images, for other readers of the folder; the paths by default.
        grid: keep every region, for attention; False: only their mean, a fiftieth of the space.
        mirror: also compute every image flipped left to right.
        batch_size: images that go through the network together; progress is recorded after each.

    Returns:
        The folder, whose rows are those of `paths`, and for each image without features its row and
        one line with the reason.

    Raises:
        UserError: no space on the disk or in the device's memory, images too small for the network,
            or features that are not finite. What has been computed is kept.
    """
    if not len(paths):
        raise ValueError("there are no images to compute features of")
    files = [os.path.abspath(path) for path in paths]
    names = list(files if names is None else names)
    rows, columns = backbone.grid_size(transform.size)
    key = {
        "version": 2,
        "backbone": backbone.name,
        "weights": backbone.digest,
        "transform": transform.digest,
        "images": short_digest([files, names]),
        "shape": [len(files), *([rows * columns] if grid else []), backbone.feature_size],
        "mirrored": mirror,
    }
    build = _Build(Path(directory) / f"{backbone.name}-{short_digest(key)}", key, files)
    make_folder(build.folder)
    if not build.finished():
        with _locked(build.folder):
            if not build.finished():  # another process may have finished it meanwhile
                build.begin()
                network = backbone.inference_copy()
                with Bar(
                    f"features of {network.name}", len(files), "images", done=build.done, keep=True
                ) as bar:
                    for batch in image_batches(files, transform, batch_size, start=build.done):
                        values = np.zeros(1, np.float16)
                        if batch.indices:
                            values = _features(network, transform, batch.pixels, grid, mirror)
                        bar.advance(build.append(values, batch.indices, batch.problems))
                build.finish(names)
    return FeatureFolder(build.folder), build.damaged


class _Build:
    """The features in a cache's folder, all or the first of them; `record.json` counts them.

    Args:
        folder: of the cache.
        key: all that the features depend on, except the contents of the image files.
        images: the image files; `images.npy` keeps their sizes and times.

    Attributes:
        done: number of images in the files, from the first on.
        damaged: row of each image that could not be read, and the reason.
    """

    def __init__(self, folder: Path, key: dict[str, Any], images: Sequence[str]) -> None:
        self.folder, self.key, self.shape = folder, key, tuple(key["shape"])
        self.stamps = np.array([_stamp(image) for image in images], np.int64)
        self.done, self.damaged = 0, dict[int, str]()
        self.files = [folder / name for name in (ARRAY, MIRRORED)[: 1 + key["mirrored"]]]

    def finished(self) -> bool:
        """Read the record; whether all features are there."""
        self.done, self.damaged = 0, {}
        with suppress(Exception):  # a damaged record, or file, counts as none
            record = read_json(self.folder / "record.json", links=False)
            done = record["done"]
            damaged = {int(row): str(line) for row, line in record["damaged"].items()}
            possible = 0 <= done <= len(self.stamps) and damaged.keys() <= set(range(done))
            before = map_array(self.folder / "images.npy")
            changed = (before != self.stamps).any(1) & (self.stamps[:, 0] >= 0)
            arrays = [map_array(path) for path in self.files]
            whole = all(a.shape == self.shape and a.dtype == np.float16 for a in arrays)
            if record["key"] == self.key and possible and whole and not changed.any():
                self.done, self.damaged = done, damaged
        return self.done == len(self.stamps) and (self.folder / NAMES).is_file()

    def begin(self) -> None:
        """Prepare the files for the remaining features.

        Raises:
            UserError: the disk is too small for them.
        """
        (self.folder / NAMES).unlink(missing_ok=True)  # without it, the folder counts as unfinished
        if not self.done:
            with atomic_write(self.folder / "images.npy", "wb") as file:
                np.save(file, self.stamps)
            # Unlinked, not overwritten: another process may still read the old files.
            for path in (self.folder / "record.json", *self.files):
                path.unlink(missing_ok=True)
        needed = 2 * prod(self.shape[1:]) * (len(self.stamps) - self.done) * len(self.files)
        if needed > (free := shutil.disk_usage(self.folder).free):
            raise UserError(
                f"the features need {needed / 1e6:,.3f} MB in {self.folder}, where {free / 1e6:,.3f} "
                "MB are free. Free some space, or choose another folder for the cache."
            )
        for path in self.files if not self.done else ():  # of full size, but sparse
            np.lib.format.open_memmap(path, "w+", np.float16, self.shape)

    def append(
        self, features: np.ndarray, images: list[int], problems: list[tuple[int, str]]
    ) -> int:
        """Add a batch: first its features to the files, then the record.

        Args:
            features: (files, B, ...) float16; anything if all images are damaged.
            images: (B,) their rows, the first ones of those that are not done, without damaged ones.
            problems: row and reason of each damaged image among them.

        Returns:
            The number of images, damaged ones included.
        """
        count = len(images) + len(problems)
        rows = np.zeros((len(self.files), count, *self.shape[1:]), np.float16)
        rows[:, np.array(images, int) - self.done] = features
        for path, values in zip(self.files, rows, strict=True):
            array = map_array(path)
            with open_regular(path, "r+b") as file:  # a full disk is an error here, not a crash
                file.seek(array.offset + self.done * array.strides[0])
                file.write(values.tobytes())
                file.flush()
                os.fsync(file.fileno())
        self.done += count
        self.damaged |= dict(problems)
        content = {"key": self.key, "done": self.done, "damaged": self.damaged}
        write_json(self.folder / "record.json", content)
        return count

    def finish(self, names: Sequence[str]) -> None:
        """Name the rows, each on one line; rows without features have an empty name."""
        with atomic_write(self.folder / NAMES) as file:
            for row, name in enumerate(names):
                shown = "" if row in self.damaged else name
                file.write("".join(c if c.isprintable() else "?" for c in shown) + "\n")


@torch.inference_mode()
def _features(
    network: Backbone, transform: ImageTransform, pixels: torch.Tensor, grid: bool, mirror: bool
) -> np.ndarray:
    """float16 of (1, B, S, C), of (1, B, C) without the grid; (2, ...) with the mirrored images."""
    device = next(network.parameters()).device
    with naming_batch_size(len(pixels)), arithmetic(device, "fp32"):
        images = transform.normalize(upload(pixels, device))
        sides = [network(each).float() for each in (images, images.flip(-1))[: 1 + mirror]]
        result = torch.stack([each if grid else each.mean(1) for each in sides])
        half = result.clamp(-LARGEST, LARGEST).half()
        features, finite = to_host((half, result.isfinite().all()))
    if not finite:
        raise UserError(f"{network.name} gives features that are not finite: damaged weights?")
    return features.numpy()


def _stamp(path: str) -> tuple[int, int]:
    """Size in bytes and modification time in ns of a file, -1 where there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return -1, -1
    return state.st_size, state.st_mtime_ns


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time work on a folder; the lock ends with the process that holds it."""
    with open_regular(folder / "lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            warn(f"another process is computing {folder}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # some network file systems have no locks; a single process still works there
        yield
