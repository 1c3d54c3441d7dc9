"""Computing the features of images: in parts, resumed where it stopped, by one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import numpy as np
import torch
from tqdm import tqdm

from captioning.backbone import Backbone
from captioning.features.record import FeatureRecord, alone, file_stamps
from captioning.image_batches import ImageBatch, ImageFiles
from captioning.transform import ImageTransform
from common.compute.device import naming_batch_size, to_host, upload
from common.compute.precision import arithmetic
from common.errors import UserError

CHUNK = 256  # images after which progress is recorded: the most that a kill costs
LARGEST = torch.finfo(torch.float16).max


def complete(
    wanted: FeatureRecord,
    files: ImageFiles,
    backbone: Backbone,
    *,
    dtype: torch.dtype,
    device: torch.device,
    batch_size: int,
    workers: int | None,
    progress: bool,
) -> None:
    """Compute what a cache lacks: all of it, the rest of an interrupted build, or nothing.

    Args:
        wanted: the record of the cache, as if nothing were there.
        files: the images.
        backbone: the network, as it is now.
        dtype: of the network's arithmetic.
        device: where the network runs.
        batch_size: images that go through the network together.
        workers: threads that read images; as many as cores (at most 16) by default.
        progress: show a progress bar.

    Raises:
        UserError: no space on the disk, or features that are no numbers.
    """
    wanted.folder.mkdir(parents=True, exist_ok=True)
    stamps = file_stamps([str(path) for path in files.paths])
    if _finished(wanted, stamps, progress):
        return
    with alone(wanted.folder):
        if _finished(wanted, stamps, progress):
            return  # whoever had to wait finds it finished
        record = _resume(wanted, stamps, progress)
        network = backbone.inference_copy(dtype).to(device)
        with closing(_decoded(files, record.done, batch_size, workers)) as batches:
            _compute(record, network, files.transform, batches, progress)


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
    copies, finite = [], []
    # The arithmetic is that of the network's own type: it is part of the cache's key.
    with naming_batch_size(len(batch.pixels)), arithmetic(device, "fp32"):
        images = transform.normalize(upload(batch.pixels, device))
        for copy in range(record.copies):
            grid = network(images.flip(-1) if copy else images).float()  # (B, S, C)
            values = grid if len(record.shape) == 2 else grid.mean(1)
            finite.append(values.isfinite().all())
            copies.append(values.clamp(-LARGEST, LARGEST).half())
        result, sound = to_host((torch.stack(copies, 1), torch.stack(finite)))
    if not sound.all():
        raise UserError(
            f"{network.name} gives features that are no finite numbers: damaged weights?"
        )
    return result.numpy()


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
