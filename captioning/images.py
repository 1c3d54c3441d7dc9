"""Images: any file that people have on disk, opened safely, upright and in RGB."""

from __future__ import annotations

import os
import struct
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import IO, TypeAlias

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from common.errors import UserError, one_line

ImageSource: TypeAlias = str | os.PathLike[str] | IO[bytes] | Image.Image

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
    return one_line(error)


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
