"""Features of images, computed once and then read from disk: no image is opened again."""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from captioning.backbone import Backbone, fast_dtype
from captioning.feature_record import FeatureRecord, alone, digest, file_stamps
from captioning.image_batches import ImageBatch, ImageFiles
from captioning.transform import ImageTransform
from common.damage import check_problems
from common.errors import UserError

Precision: TypeAlias = Literal["fp32", "bf16", "auto"]

CHUNK = 256  # images after which progress is recorded: the most that a kill costs
LARGEST = torch.finfo(torch.float16).max


class FeatureCache:
    """Features of a list of images in fp16, read from disk as they are needed.

    `FeatureCache.build` computes what is not there yet; the constructor only opens.

    Args:
        folder: of one finished cache.

    Attributes:
        valid: (N,) which images could be read.
        problems: a line for each of the others.
        copies: 2 if every image is there mirrored as well, else 1.
        shape: of the features of one image: (S, C), or (C,) if only the pooled vector is kept.

    Raises:
        UserError: there is no finished cache, or it is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        record = FeatureRecord.read(self.folder)
        if record is None or not record.complete:
            raise UserError(f"{self.folder} holds no finished feature cache: compute it first.")
        if not record.untouched() and record.intact() < record.images:
            raise UserError(f"{record.path} is damaged. Delete it; it will be computed again.")
        self.copies = record.copies
        self.shape = tuple(record.shape)
        self.problems = list(record.damaged.values())
        self.valid = np.ones(record.images, bool)
        self.valid[[int(index) for index in record.damaged]] = False
        # A plain array finds its rows faster than the memmap that it looks through.
        self._features = np.asarray(np.load(record.path, mmap_mode="r"))

    def __len__(self) -> int:
        """How many images, damaged ones included."""
        return len(self.valid)

    def __reduce__(self) -> tuple[type[FeatureCache], tuple[Path]]:
        # Another process opens the file itself, instead of being sent all of it.
        return FeatureCache, (self.folder,)

    @property
    def feature_size(self) -> int:
        return self.shape[-1]

    def read(
        self,
        images: Sequence[int] | np.ndarray,
        mirrored: Sequence[bool] | np.ndarray | None = None,
    ) -> Tensor:
        """The features of some images.

        Args:
            images: (B,) their positions in the list that the cache was built for.
            mirrored: (B,) which of them are wanted flipped left to right; None: none.

        Returns:
            (B, S, C), or (B, C) if only the pooled vector is kept; fp16.

        Raises:
            ValueError: an image is damaged, or mirrored ones were not computed.
            IndexError: there is no such image.
        """
        images = np.asarray(images, np.int64)
        if not self.valid[images].all():
            damaged = images[~self.valid[images]].tolist()
            raise ValueError(f"these images are damaged and have no features: {damaged}")
        rows = images * self.copies
        if mirrored is not None and np.any(mirrored):
            if self.copies == 1:
                raise ValueError("this cache was built without mirrored images")
            rows = rows + np.asarray(mirrored, bool)
        result = np.empty((len(rows), *self.shape), np.float16)
        for place in np.argsort(rows):  # in the order of the disk
            result[place] = self._features[rows[place]]
        return torch.from_numpy(result)

    @classmethod
    def build(
        cls,
        directory: str | os.PathLike[str],
        paths: Sequence[str | os.PathLike[str]],
        backbone: Backbone,
        transform: ImageTransform,
        *,
        grid: bool = True,
        mirror: bool = False,
        precision: Precision = "fp32",
        device: torch.device | str = "cpu",
        batch_size: int = 32,
        workers: int | None = None,
        max_damaged: float = 0.01,
        progress: bool = True,
    ) -> FeatureCache:
        """The features of these images by this network: opened if they are there, else computed.

        Each network, each state of its weights, each transform, list of images, and each of the
        first three options below has a cache of its own. A build that was killed goes on where it
        stopped. An image whose file has changed since is computed again, with all others; one whose
        file is gone keeps its features.

        Args:
            directory: of all caches; each is a folder in it.
            paths: the images. One that cannot be read is listed, and has no features.
            backbone: the network, as it is now.
            transform: from a picture to the network's input.
            grid: keep every region, for attention; or only their mean, a fiftieth of the space.
            mirror: compute every image flipped left to right as well.
            precision: of the network's arithmetic. bf16 doubles the speed where the hardware is made
                for it, and moves the features: those of MobileNetV2 by a tenth. auto: bf16 there.
            device: where the network runs.
            batch_size: images that go through the network together.
            workers: threads that read images; as many as cores (at most 16) by default.
            max_damaged: share of damaged images that is put up with.
            progress: show a progress bar.

        Raises:
            UserError: too many damaged images, no space on the disk, or images too small for the
                network. What has been computed is kept.
        """
        if not len(paths):
            raise ValueError("there are no images to compute features of")
        device = torch.device(device)
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "auto": fast_dtype(device)}
        files = ImageFiles([os.path.abspath(path) for path in paths], transform)
        rows, columns = backbone.grid_size(transform.size)
        wanted = FeatureRecord(
            Path(directory),
            key={
                "backbone": backbone.name,
                "weights": backbone.digest,
                "transform": transform.digest,
                "image_list": digest("\0".join(map(str, files.paths))),
                "precision": str(dtypes[precision]),
            },
            images=len(files),
            copies=2 if mirror else 1,
            shape=[*([rows * columns] if grid else []), backbone.feature_size],
        )
        wanted.folder /= f"{backbone.name}-{wanted.digest}"
        wanted.folder.mkdir(parents=True, exist_ok=True)
        stamps = file_stamps([str(path) for path in files.paths])
        if not _finished(wanted, stamps, progress):
            with alone(wanted.folder):
                # Whoever had to wait finds it finished.
                if not _finished(wanted, stamps, progress):
                    record = _resume(wanted, stamps, progress)
                    network = backbone.inference_copy(dtypes[precision]).to(device)
                    decoded = _decoded(files, record.done, batch_size, workers)
                    with closing(decoded) as batches:
                        _compute(record, network, transform, batches, progress)
        cache = cls(wanted.folder)
        where = "the images" if len(files) > 1 else str(files.paths[0])
        check_problems(cache.problems, int(cache.valid.sum()), max_damaged, where)
        return cache


def _finished(wanted: FeatureRecord, stamps: np.ndarray, progress: bool) -> bool:
    """Whether the cache is complete and undamaged, and of the images as they are now."""
    record = FeatureRecord.read(wanted.folder)
    if record is None or not record.complete or record.digest != wanted.digest:
        return False
    if record.unchanged(stamps) < record.images:
        return False
    if record.untouched():
        return True
    if record.intact(progress) < record.images:
        return False
    with suppress(OSError):  # it may lie where nothing can be written
        record.close()  # copied or restored: the checksums are right
    return True


def _resume(wanted: FeatureRecord, stamps: np.ndarray, progress: bool) -> FeatureRecord:
    """Make ready for what is still to be computed: the record that is returned has what is there."""
    record = FeatureRecord.read(wanted.folder)
    if record is None or record.seal is not None or record.digest != wanted.digest:
        # Whoever still reads a finished file goes on reading it: it is unlinked, not overwritten.
        wanted.path.unlink(missing_ok=True)
        record = wanted
    good = min(record.intact(progress), record.unchanged(stamps))
    record.chunks = [chunk for chunk in record.chunks if chunk[0] <= good]
    record.damaged = {i: line for i, line in record.damaged.items() if int(i) < record.done}
    needed = record.offset(record.images) - record.offset(record.done)
    free = shutil.disk_usage(record.folder).free
    if record.path.exists():
        free += record.path.stat().st_size - record.offset(record.done)
    if needed > free:
        raise UserError(
            f"the features need {needed / 1e9:.2f} GB in {record.folder}, where {free / 1e9:.2f} GB "
            "are free. Free some space, or choose another folder for the cache."
        )
    with _space(record):
        record.write()
        record.write_stamps(stamps)
    return record


def _compute(
    record: FeatureRecord,
    network: Backbone,
    transform: ImageTransform,
    batches: Iterator[ImageBatch],
    progress: bool,
) -> None:
    """Append the features of the remaining images to the file, and seal it."""
    record.path.touch()
    with (
        _space(record),
        open(record.path, "r+b") as file,
        tqdm(
            total=record.images, initial=record.done, desc=f"features of {network.name}",
            unit=" images", disable=not progress,
        ) as bar,
    ):  # fmt: skip
        file.write(record.header)
        file.seek(record.offset(record.done))
        file.truncate()
        done, checksum = record.done, 0
        for batch in batches:
            count = len(batch.indices) + len(batch.problems)
            values = np.zeros((count, record.copies, *record.shape), np.float16)
            if len(batch.indices):
                values[batch.indices.numpy() - done] = _features(network, transform, batch, record)
            data = values.tobytes()
            file.write(data)
            checksum = zlib.crc32(data, checksum)
            record.damaged |= {str(index): line for index, line in batch.problems}
            done += count
            bar.update(count)
            if done - record.done >= CHUNK or done == record.images:
                file.flush()
                os.fsync(file.fileno())  # first the features, then the record that they are there
                record.chunks.append([done, checksum])
                record.write()
                checksum = 0
        record.close()


@torch.inference_mode()
def _features(
    network: Backbone, transform: ImageTransform, batch: ImageBatch, record: FeatureRecord
) -> np.ndarray:
    """(B, copies, S, C), or (B, copies, C), fp16 features of the readable images of a batch."""
    device = next(network.parameters()).device
    images = transform.normalize(batch.pixels.to(device))
    copies = []
    for copy in range(record.copies):
        grid = network(images.flip(-1) if copy else images).float()  # (B, S, C)
        values = grid if len(record.shape) == 2 else grid.mean(1)
        if not values.isfinite().all():
            raise UserError(
                f"{network.name} gives features that are no finite numbers: damaged weights?"
            )
        copies.append(values.clamp(-LARGEST, LARGEST).half())
    return torch.stack(copies, 1).cpu().numpy()


def _decoded(
    files: ImageFiles, start: int, batch_size: int, workers: int | None
) -> Generator[ImageBatch, None, None]:
    """Batches of images from `start` on, in order, decoded ahead in threads.

    Pillow lets go of the interpreter while it decodes and resizes: threads do what processes would,
    without the shared memory of which containers have so little.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(workers or min(16, cores or 1), "decode")
    try:
        for first in range(start, len(files), batch_size):
            # Two batches ahead keep the threads busy while the network computes.
            ahead = range(first + len(waiting), min(first + 3 * batch_size, len(files)))
            waiting.extend(pool.submit(files.__getitem__, index) for index in ahead)
            items = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
            yield files.collate([item.result() for item in items])
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _space(record: FeatureRecord) -> Iterator[None]:
    """A full disk, a quota, a limit of file size: one line instead of a traceback."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise UserError(
            f"no space left for the features in {record.folder} ({record.done:,} of "
            f"{record.images:,} images done). Free some space and run the same command again: "
            "it goes on from there."
        ) from None
