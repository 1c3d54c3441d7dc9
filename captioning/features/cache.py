"""The feature cache: features of images computed once, in the layout that `FeatureFolder` reads."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from captioning.backbone import Backbone
from captioning.features.folder import ARRAY, MIRRORED, NAMES, FeatureFolder
from captioning.image_batches import image_batches
from captioning.transform import ImageTransform
from common.compute.device import naming_batch_size, to_host, upload
from common.compute.precision import arithmetic
from common.errors import UserError
from common.files import atomic_write, read_json, write_json

CHUNK = 256  # images after which progress is recorded: the most that a kill costs
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
    batch_size: int = 32,
) -> tuple[FeatureFolder, dict[int, str]]:
    """The features of these images by this network: opened if they are there, else computed.

    Each network, each state of its weights, each transform, list of images, and each of the options
    but the last has a folder of its own. A build that was killed goes on where it stopped, and one
    process at a time builds. Where an image file has changed since, all are computed again; one that
    is gone keeps its features. The network computes in float32, the same on every device: a GPU does
    not round to TensorFloat-32. Features are stored in float16.

    Args:
        directory: of all caches; each is a folder in it.
        paths: (N,) the images. One that cannot be read has no features.
        backbone: the network, as it is now, where it is now.
        transform: from a picture to the network's input.
        names: (N,) of the images, for others who read the folder; the paths by default.
        grid: keep every region, for attention; or only their mean, a fiftieth of the space.
        mirror: compute every image flipped left to right as well.
        batch_size: images that go through the network together.

    Returns:
        The folder, whose rows are those of `paths`, and for each image without features its row and
        one line that says why.

    Raises:
        UserError: no space on the disk or in the device's memory, images too small for the network,
            or features that are no numbers. What has been computed is kept.
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
        "images": _digest([files, names]),
        "shape": [len(files), *([rows * columns] if grid else []), backbone.feature_size],
        "mirrored": mirror,
    }
    build = _Build(Path(directory) / f"{backbone.name}-{_digest(key)}", key, _stamps(files))
    build.folder.mkdir(parents=True, exist_ok=True)
    if not build.finished():
        with _alone(build.folder):
            if not build.finished():  # whoever had to wait finds it finished
                build.begin()
                _compute(build, files, backbone, transform, batch_size)
                build.finish(names)
    return FeatureFolder(build.folder), build.damaged


def _compute(
    build: _Build,
    files: Sequence[str],
    backbone: Backbone,
    transform: ImageTransform,
    batch_size: int,
) -> None:
    """Append the features of the images that are still to come."""
    network = backbone.inference_copy()
    with tqdm(
        total=len(files), initial=build.done, desc=f"features of {network.name}",
        unit=" images", disable=None,
    ) as bar:  # fmt: skip
        for batch in image_batches(files, transform, CHUNK, start=build.done):
            count = len(batch.indices) + len(batch.problems)
            values = np.zeros((len(build.files), count, *build.shape[1:]), np.float16)
            places = np.array(batch.indices, np.int64) - build.done
            for first in range(0, len(places), batch_size):
                part = slice(first, first + batch_size)
                found = _features(network, transform, batch.pixels[part], values.shape)
                values[:, places[part]] = found
                bar.update(len(found[0]))
            build.append([each.tobytes() for each in values], count, dict(batch.problems))
            bar.update(len(batch.problems))


class _Build:
    """What a cache folder is to hold, and how much of it is there: `record.json` says it.

    Args:
        folder: of the cache.
        key: all that the features depend on but the contents of the image files.
        stamps: (N, 2) of the image files as they are now; see `_stamps`.

    Attributes:
        done: how many images are there, from the first on.
        damaged: the row of each image that could not be read, and what is wrong with it.
    """

    def __init__(self, folder: Path, key: dict[str, Any], stamps: np.ndarray) -> None:
        self.folder, self.key, self.stamps = folder, key, stamps
        self.done, self.damaged = 0, dict[int, str]()
        self.shape = tuple(key["shape"])
        self.files = [folder / name for name in (ARRAY, MIRRORED)[: 1 + key["mirrored"]]]
        header = io.BytesIO()
        layout = {"descr": "<f2", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(header, layout)
        self.header = header.getvalue()  # what the files begin with

    def offset(self, image: int) -> int:
        """Where in a file the features of an image begin, in bytes."""
        return len(self.header) + 2 * image * prod(self.shape[1:])

    def finished(self) -> bool:
        """Read how much is there; whether it is all."""
        self.done, self.damaged = 0, {}
        # A record that makes no sense is one of nothing.
        with suppress(UserError, OSError, EOFError, LookupError, TypeError, ValueError,
                      AttributeError):  # fmt: skip
            record = read_json(self.folder / "record.json")
            damaged = {int(row): str(line) for row, line in record["damaged"].items()}
            before = np.load(self.folder / "images.npy")
            changed = (before != self.stamps).any(1) & (self.stamps[:, 0] >= 0)
            if record["key"] == self.key and not changed.any() and self._holds(record["done"]):
                self.done, self.damaged = record["done"], damaged
        return self.done == len(self.stamps) and (self.folder / NAMES).is_file()

    def _holds(self, images: int) -> bool:
        """Whether so many images are in the files."""
        for path in self.files:
            with open(path, "rb") as file:
                header, size = file.read(len(self.header)), path.stat().st_size
            if header != self.header or size < self.offset(images):
                return False
        return 0 <= images <= len(self.stamps)

    def begin(self) -> None:
        """Make ready for the features that are still to come.

        Raises:
            UserError: the disk is too small for them.
        """
        (self.folder / NAMES).unlink(missing_ok=True)  # nobody must take it for finished
        if not self.done:
            with atomic_write(self.folder / "images.npy", "wb") as file:
                np.save(file, self.stamps)
            # Whoever still reads an old file goes on reading it: it is unlinked, not overwritten.
            for path in (self.folder / "record.json", *self.files):
                path.unlink(missing_ok=True)
        needed = (self.offset(len(self.stamps)) - self.offset(self.done)) * len(self.files)
        if needed > (free := shutil.disk_usage(self.folder).free):
            raise UserError(
                f"the features need {needed / 1e9:.2f} GB in {self.folder}, where {free / 1e9:.2f} "
                "GB are free. Free some space, or choose another folder for the cache."
            )
        for path in self.files:
            with open(path, "ab") as file:
                file.truncate(self.offset(self.done) if self.done else 0)
                file.write(b"" if self.done else self.header)

    def append(self, features: list[bytes], images: int, damaged: dict[int, str]) -> None:
        """Add so many images to the files: first their features, then the record of them."""
        for path, data in zip(self.files, features, strict=True):
            with open(path, "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        self.done += images
        self.damaged |= damaged
        content = {"key": self.key, "done": self.done, "damaged": self.damaged}
        write_json(self.folder / "record.json", content)

    def finish(self, names: Sequence[str]) -> None:
        """Name the rows: images without features have no name, and no name has a line end."""
        with atomic_write(self.folder / NAMES) as file:
            for row, name in enumerate(names):
                shown = "" if row in self.damaged else name
                file.write("".join(c if c.isprintable() else "?" for c in shown) + "\n")


@torch.inference_mode()
def _features(
    network: Backbone, transform: ImageTransform, pixels: torch.Tensor, shape: tuple[int, ...]
) -> np.ndarray:
    """(1, B, S, C) or (1, B, C) float16 of images, or (2, ...) with the mirrored ones; as in shape."""
    device = next(network.parameters()).device
    with naming_batch_size(len(pixels)), arithmetic(device, "fp32"):
        images = transform.normalize(upload(pixels, device))
        sides = [network(each).float() for each in (images, images.flip(-1))[: shape[0]]]
        result = torch.stack([each if len(shape) == 4 else each.mean(1) for each in sides])
        # Beyond float16: the largest of its numbers.
        features, sound = to_host((result.clamp(-LARGEST, LARGEST).half(), result.isfinite().all()))
    if not sound:
        raise UserError(
            f"{network.name} gives features that are no finite numbers: damaged weights?"
        )
    return features.numpy()


def _stamps(paths: Sequence[str]) -> np.ndarray:
    """(N, 2) size in bytes and modification time in ns of each file, -1 where there is none."""
    stamps = np.full((len(paths), 2), -1, np.int64)
    for index, path in enumerate(paths):
        with suppress(OSError):
            state = os.stat(path)
            stamps[index] = state.st_size, state.st_mtime_ns
    return stamps


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time work on a folder; the lock ends with the process that holds it."""
    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process is computing {folder}: waiting for it", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            # Some network file systems know no locks; a single process works there all the same.
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        yield


def _digest(value: Any) -> str:
    """Sixteen characters that stand for a JSON value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
