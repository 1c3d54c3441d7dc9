"""Images: any file that people have on disk, to the pixels that every encoder sees."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from common.errors import UserError

ImageSource: TypeAlias = str | os.PathLike[str] | IO[bytes] | Image.Image
Fit: TypeAlias = Literal["squash", "crop", "pad"]

# fmt: off
IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm",
    ".tif", ".tiff", ".webp",
)
# fmt: on
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# 16384 x 16384: the largest photographs that cameras make (200 megapixels) pass, and the memory
# that one image may take stays below 1 GB. Pillow's own limit warns from 89 megapixels on.
MAX_PIXELS = 2**28

_PILLOW_LIMIT_LOCK = threading.Lock()

_UPRIGHT = {  # EXIF orientation -> what turns the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(UserError):
    """An image that cannot be read; the message names the file and the reason in one line."""


def open_image(source: ImageSource, size: int | None = None) -> Image.Image:
    """Open an image of any kind, upright and in RGB.

    EXIF rotation is applied; transparency is laid over white; 16-bit and floating-point images are
    scaled to 8 bits, not clipped; of an animation the first frame is taken.

    Args:
        source: a path, a binary file, or a Pillow image (never modified; returned as it is where
            there is nothing to do).
        size: pixels that each side must keep; a huge JPEG is then decoded at a half, a quarter or
            an eighth of its size, many times faster. The image is never enlarged. None: all pixels.

    Returns:
        An image in mode "RGB" that carries no metadata: opening it again changes nothing.

    Raises:
        ImageError: missing, unreadable, truncated, not an image, or more than `MAX_PIXELS`.
    """
    name = _name_of(source)
    try:
        if isinstance(source, Image.Image):
            return _upright_rgb(source)
        with _binary_file(source) as file:
            image = _open_header(file)
            if size is not None:
                image.draft(None, (size, size))
            return _upright_rgb(image)
    except FileNotFoundError:
        raise ImageError(f"{name}: there is no such file.") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: a folder, not an image.") from None
    # Decoders meet hostile bytes with whatever exception lies nearest: SyntaxError, struct.error,
    # EOFError, zlib.error, IndexError... Each of them means that this image cannot be read.
    except Exception as error:
        raise ImageError(f"{name}: cannot be read as an image ({_reason(error)}).") from error


def _binary_file(source: str | os.PathLike[str] | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """The file to read: opened and closed here for a path, left open if it was given open."""
    return open(source, "rb") if isinstance(source, (str, os.PathLike)) else nullcontext(source)


def _name_of(source: ImageSource) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "filename", None) or getattr(source, "name", None)
    return name if isinstance(name, str) else "the given image"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of an unknown format"
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines and lines[0] else type(error).__name__


def _open_header(file: IO[bytes]) -> Image.Image:
    """Read the size and the mode of an image, and refuse a decompression bomb.

    Pillow's limit is one global for the whole process and warns of honest photographs. It is
    lifted only while the header is read, and given back, so that other users of Pillow in this
    process keep theirs.
    """
    with _PILLOW_LIMIT_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file)
        except UnidentifiedImageError:
            file.seek(0)
            if file.read(1):
                raise
            raise ValueError("the file is empty") from None
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"{image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS:,}"
        )
    return image


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    given, orientation = image, _orientation(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(image)).convert("RGB")
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image is given and image.info:
        image = image.copy()
    # Without its metadata the image is not turned a second time when it is opened again.
    image.info = {}
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error):
        return 1  # damaged metadata is no reason to lose the picture


def _to_8_bits(image: Image.Image) -> np.ndarray:
    """The pixels (H, W) uint8 of an image with more than 8 bits: modes I;16*, I and F."""
    values = np.asarray(image)
    if values.dtype.itemsize == 2:
        # The high byte, which is what Pillow takes of 16-bit colour images.
        return (values >> 8).astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    # These modes do not say what white is: the smallest usual range that holds every value.
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    brightest = float(values.max(initial=0.0))
    white = next((white for white in usual if brightest <= white), brightest)
    return (values.clip(0.0) * (255.0 / white)).round().astype(np.uint8)


@dataclass(frozen=True)
class ImageTransform:
    """From an image of any size to the square input of an encoder.

    One transform serves training, evaluation and the user's own image; it has no randomness.

    Args:
        size: pixels per side of the result.
        fit: "squash" the whole frame into the square (all of the picture, distorted), "crop" the
            square in its centre (undistorted, the edges lost), or "pad" the shorter sides with the
            mean colour (undistorted, all of the picture).
        mean: of red, green and blue, in 0..1; subtracted.
        std: of red, green and blue, in 0..1; divided by.
    """

    size: int = 224
    fit: Fit = "squash"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a whole number of pixels, not {self.size}")
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, not {self.fit!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean and std must be three numbers each, std greater than zero")

    def __call__(self, images: ImageSource | Iterable[ImageSource], mirror: bool = False) -> Tensor:
        """Open, fit and normalise one image or several.

        Returns:
            (B, 3, size, size) float32, normalised.

        Raises:
            ImageError: an image cannot be read.
        """
        sources = [images] if _is_source(images) else list(images)  # type: ignore[arg-type]
        empty = torch.empty((0, 3, self.size, self.size), dtype=torch.uint8)
        pixels = [self.pixels(source, mirror) for source in sources]  # type: ignore[arg-type]
        return self.normalize(torch.stack(pixels) if pixels else empty)

    def pixels(self, source: ImageSource, mirror: bool = False) -> Tensor:
        """Open and fit one image: (3, size, size) uint8, to be normalised later, in batches."""
        # A Pillow image's array is read-only, and torch wants memory that it may write to.
        values = np.array(self.fitted(source, mirror))
        return torch.from_numpy(values).permute(2, 0, 1).contiguous()

    def normalize(self, pixels: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 to float32 of the same shape, on whichever device the pixels are."""
        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return (pixels.float() / 255 - mean) / std

    def fitted(self, source: ImageSource, mirror: bool = False) -> Image.Image:
        """The image (size x size, RGB) as an encoder sees it; what attention is drawn upon."""
        # Twice the final size, so that decoding a huge JPEG at a fraction costs no visible detail.
        image = open_image(source, size=2 * self.size)
        if self.fit == "pad":
            image = self._padded(image)
        else:
            width, height = image.size
            side = min(image.size)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side) if self.fit == "crop" else None
            image = self._resized(image, (self.size, self.size), box)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else image

    def _padded(self, image: Image.Image) -> Image.Image:
        scale = self.size / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        canvas = Image.new("RGB", (self.size, self.size), self._mean_colour())
        inner = self._resized(image, (width, height), None)
        canvas.paste(inner, ((self.size - width) // 2, (self.size - height) // 2))
        return canvas

    def _mean_colour(self) -> tuple[int, int, int]:
        red, green, blue = (min(255, max(0, round(255 * value))) for value in self.mean)
        return red, green, blue

    @staticmethod
    def _resized(
        image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None
    ) -> Image.Image:
        # Pillow filters before it shrinks (antialiasing); reducing_gap makes that fast on huge
        # images, at a gap (3) where the result is hardly distinguishable.
        return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, for a run's config; `from_dict` reads it."""
        mean, std = ([float(value) for value in values] for values in (self.mean, self.std))
        return {"size": self.size, "fit": self.fit, "mean": mean, "std": std}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageTransform:
        """The transform that `to_dict` wrote.

        Raises:
            UserError: the values are damaged, or of a newer version.
        """
        try:
            mean, std = (tuple(map(float, values[name])) for name in ("mean", "std"))
            return cls(**{**values, "mean": mean, "std": std})
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"the image transform {values!r} cannot be used ({_reason(error)}). "
                "It is damaged, or was written by a newer version."
            ) from None

    @property
    def digest(self) -> str:
        """Sixteen characters that change with anything that changes the pixels."""
        method = "pillow bilinear 1"  # the method's name and version: part of what is digested
        text = json.dumps([method, self.to_dict()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_source(value: object) -> bool:
    return isinstance(value, (str, os.PathLike, Image.Image)) or hasattr(value, "read")


class ImageBatch(NamedTuple):
    """The images of a batch that could be read, and what was wrong with the others.

    Args:
        indices: (B,) positions in the list of paths.
        pixels: (B, 3, S, S) uint8.
        problems: for each damaged image its position and one line that names it and the reason.
    """

    indices: Tensor
    pixels: Tensor
    problems: list[tuple[int, str]]


class ImageFiles(Dataset):
    """Image files, decoded and fitted on demand; a damaged file is reported and does no harm.

    Args:
        paths: the files.
        transform: what fits them to the encoder.
        mirror: flip every image left to right.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        transform: ImageTransform,
        mirror: bool = False,
    ) -> None:
        self.paths = paths
        self.transform = transform
        self.mirror = mirror

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, Tensor | None, str | None]:
        """The index, the pixels (3, S, S) uint8 or None, and what was wrong or None."""
        try:
            return index, self.transform.pixels(self.paths[index], self.mirror), None
        except ImageError as error:
            return index, None, str(error)

    def collate(self, items: list[tuple[int, Tensor | None, str | None]]) -> ImageBatch:
        """Items of `__getitem__` as a batch; the damaged ones only as problems."""
        size = self.transform.size
        kept = [(index, pixels) for index, pixels, _ in items if pixels is not None]
        return ImageBatch(
            indices=torch.tensor([index for index, _ in kept], dtype=torch.long),
            pixels=torch.stack([pixels for _, pixels in kept])
            if kept
            else torch.empty((0, 3, size, size), dtype=torch.uint8),
            problems=[(index, problem) for index, _, problem in items if problem is not None],
        )


def image_batches(
    paths: Sequence[str | os.PathLike[str]],
    transform: ImageTransform,
    batch_size: int = 32,
    workers: int = 0,
    mirror: bool = False,
    pin_memory: bool = False,
) -> DataLoader[ImageBatch]:
    """Image files in order, decoded in worker processes, as an iterable of `ImageBatch`.

    Args:
        paths: the files.
        transform: what fits them to the encoder.
        batch_size: images per batch; a damaged image leaves its place empty.
        workers: processes that decode; 0 decodes in this one.
        mirror: flip every image left to right.
        pin_memory: for a quicker copy to a GPU.
    """
    files = ImageFiles(paths, transform, mirror)
    return DataLoader(
        files,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=files.collate,
        pin_memory=pin_memory,
        # A generator of its own: the loader must not advance the one that training resumes from.
        generator=torch.Generator(),
    )


def walk_files(folder: str | os.PathLike[str]) -> Iterator[str]:
    """The files below a folder as relative paths with "/", hidden ones left out, in no order.

    Links to folders are followed (photographs often lie on another disk), each folder once.
    """
    visited: set[str] = set()
    waiting = [(os.fspath(folder), "")]
    while waiting:
        directory, prefix = waiting.pop()
        real = os.path.realpath(directory)
        if real in visited:
            continue
        visited.add(real)
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
                else:
                    yield f"{prefix}{entry.name}"


def list_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The image files that a command line means by "IMAGE_OR_FOLDER...".

    A file stands for itself, whatever its name; a folder for the images below it, sorted. A file
    that is named twice is listed once.

    Raises:
        UserError: a path does not exist, or a folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(name for name in walk_files(path) if is_image_name(name))
            if not inside:
                raise UserError(
                    f"{path}: no image in this folder or below it "
                    f"(looked for {', '.join(IMAGE_SUFFIXES)})."
                )
            found.update(dict.fromkeys(path / name for name in inside))
        elif path.exists():
            found[path] = None
        else:
            raise UserError(f"{path}: there is no such image or folder.")
    if not found:
        raise UserError("no image was given: name image files, or folders that hold some.")
    return list(found)


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as image files do."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
