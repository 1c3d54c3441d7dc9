"""Features of images, computed once and then read from disk: no image is opened again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioning.backbone import Backbone
from captioning.features.computation import complete
from captioning.features.record import FeatureRecord, digest
from captioning.image_batches import ImageFiles
from captioning.transform import ImageTransform
from common.compute import Precision
from common.compute.precision import choose_precision
from common.data.damage import check_problems
from common.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


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
                for it, and moves the features: those of MobileNetV2 by a tenth. auto: bf16 where it
                is faster. fp32 is the same on every device: a GPU does not round it to
                TensorFloat-32.
            device: where the network runs.
            batch_size: images that go through the network together.
            workers: threads that read images; as many as cores (at most 16) by default.
            max_damaged: share of damaged images that is put up with.
            progress: show a progress bar.

        Raises:
            UserError: too many damaged images, no space on the disk or in the device's memory, or
                images too small for the network. What has been computed is kept.
        """
        if not len(paths):
            raise ValueError("there are no images to compute features of")
        device = torch.device(device)
        dtype = DTYPES[choose_precision(precision, backbone, device)]
        files = ImageFiles([os.path.abspath(path) for path in paths], transform)
        rows, columns = backbone.grid_size(transform.size)
        wanted = FeatureRecord(
            Path(directory),
            key={
                "backbone": backbone.name,
                "weights": backbone.digest,
                "transform": transform.digest,
                "image_list": digest("\0".join(map(str, files.paths))),
                "precision": str(dtype),
            },
            images=len(files),
            copies=2 if mirror else 1,
            shape=[*([rows * columns] if grid else []), backbone.feature_size],
        )
        wanted.folder /= f"{backbone.name}-{wanted.digest}"
        complete(
            wanted, files, backbone,
            dtype=dtype, device=device,
            batch_size=batch_size, workers=workers, progress=progress,
        )  # fmt: skip
        cache = cls(wanted.folder)
        where = "the images" if len(files) > 1 else str(files.paths[0])
        check_problems(cache.problems, int(cache.valid.sum()), max_damaged, where)
        return cache
