"""What a feature cache on disk holds and how far it has come, so that nothing wrong is ever read."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.errors import UserError
from common.files import atomic_write, read_json, write_json

VERSION = 1


@dataclass
class FeatureRecord:
    """The contents of one cache folder, as `record.json` there has them.

    Args:
        folder: of the cache.
        key: all that the features depend on.
        images: how many.
        copies: features per image: 2 with mirrored ones.
        shape: of the features of one image.
        chunks: for each part that was written completely, the images up to its end and its CRC-32.
        damaged: position -> what is wrong, for images that could not be read.
        seal: size in bytes and modification time in ns of the finished file: while they stay, its
            checksums need not be computed again. None until it is finished.
    """

    folder: Path
    key: dict[str, str]
    images: int
    copies: int
    shape: list[int]
    chunks: list[list[int]] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    seal: list[int] | None = None

    @classmethod
    def read(cls, folder: Path) -> FeatureRecord | None:
        """The record of a folder; None if there is none, or none that makes sense."""
        try:
            values = read_json(folder / "record.json")
            if values.pop("version") != VERSION:
                return None
            record = cls(folder, **values)
            ends = [0, *(end for end, _ in record.chunks)]
            sensible = (
                all(size > 0 for size in (record.images, record.copies, *record.shape))
                and all(before < end for before, end in zip(ends[:-1], ends[1:], strict=True))
                and ends[-1] <= record.images
                and all(0 <= int(index) < record.images for index in record.damaged)
            )
        except (UserError, KeyError, TypeError, ValueError, AttributeError):
            return None
        return record if sensible else None

    def write(self) -> None:
        """Replace the record, atomically."""
        values = asdict(self)
        del values["folder"]
        write_json(self.folder / "record.json", {"version": VERSION, **values})

    @property
    def path(self) -> Path:
        """The features: an ordinary .npy file, (images * copies, *shape) fp16."""
        return self.folder / "features.npy"

    @property
    def digest(self) -> str:
        """Sixteen characters that change with anything that changes the features."""
        contents = [VERSION, self.key, self.images, self.copies, self.shape]
        return digest(json.dumps(contents, sort_keys=True))

    @property
    def done(self) -> int:
        """How many images are there, from the first on."""
        return self.chunks[-1][0] if self.chunks else 0

    @property
    def complete(self) -> bool:
        return self.seal is not None and self.done == self.images

    @property
    def header(self) -> bytes:
        """What a .npy file of these features begins with."""
        buffer = io.BytesIO()
        shape = (self.images * self.copies, *self.shape)
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": "<f2", "fortran_order": False, "shape": shape}
        )
        return buffer.getvalue()

    @property
    def image_bytes(self) -> int:
        return self.copies * int(np.prod(self.shape)) * 2

    def offset(self, image: int) -> int:
        """Where in the file the features of an image begin, in bytes."""
        return len(self.header) + image * self.image_bytes

    def close(self) -> None:
        """Seal the file as it is now: finished, with the right checksums."""
        self.seal = _seal(self.path)
        self.write()

    def untouched(self) -> bool:
        """Whether the finished file has been left alone since it was sealed."""
        with suppress(OSError):
            return (
                self.seal == _seal(self.path) == [self.offset(self.images), *(self.seal or [])[1:]]
            )
        return False

    def intact(self, progress: bool = True) -> int:
        """How many images, from the first on, have features with the right checksums."""
        good = 0
        with suppress(FileNotFoundError), open(self.path, "rb") as file:
            if file.read(len(self.header)) != self.header:
                return 0
            for end, checksum in tqdm(
                self.chunks, "checking features", unit=" parts", leave=False, disable=not progress
            ):
                values = file.read((end - good) * self.image_bytes)
                if len(values) < (end - good) * self.image_bytes or zlib.crc32(values) != checksum:
                    break
                good = end
        return good

    def write_stamps(self, stamps: np.ndarray) -> None:
        """Keep how the image files (`file_stamps`) were when their features were computed."""
        with atomic_write(self.folder / "images.npy", "wb") as file:
            np.save(file, stamps)

    def unchanged(self, stamps: np.ndarray) -> int:
        """How many images, from the first on, are still what they were.

        A file that is gone has not changed: its features are all that is needed.
        """
        try:
            before = np.load(self.folder / "images.npy")
        except (OSError, ValueError, EOFError):
            return 0
        if before.shape != stamps.shape:
            return 0
        changed = (before != stamps).any(1) & (stamps[:, 0] >= 0)
        return int(changed.argmax()) if changed.any() else len(stamps)


def file_stamps(paths: Sequence[str]) -> np.ndarray:
    """(N, 2) size and modification time of each file, -1 where there is none."""
    stamps = np.full((len(paths), 2), -1, np.int64)
    for index, path in enumerate(paths):
        with suppress(OSError):
            state = os.stat(path)
            stamps[index] = state.st_size, state.st_mtime_ns
    return stamps


@contextmanager
def alone(folder: Path) -> Iterator[None]:
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


def digest(text: str) -> str:
    """Sixteen characters that stand for a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _seal(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]
