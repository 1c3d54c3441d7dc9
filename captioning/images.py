"""Images: files of any kind, opened safely, upright and in RGB."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, suppress
from typing import IO, Any, TypeAlias, TypeGuard, cast

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from captioning.picture_formats import PictureFormat, format_by_content, format_by_name
from captioning.pixels import Encoded, Pixels, as_file, from_pixels, is_encoded, is_pixels
from common.errors import UserError, one_line
from common.files import expanded, open_regular

ImageSource: TypeAlias = str | os.PathLike[str] | IO[bytes] | Image.Image | Encoded | Pixels


def is_one(images: object) -> TypeGuard[ImageSource]:
    """Whether this is one image, and not several."""
    alone = isinstance(images, str | os.PathLike | Image.Image) or hasattr(images, "read")
    return alone or is_pixels(images) or is_encoded(images)


# Pixels that are decoded: of four bytes, and held twice at most, they take 1 GB. A JPEG, which can be
# decoded at a fraction, may have twice as many: the largest photographs that cameras make (200
# megapixels) pass. Pillow's own limit warns from 89 megapixels on.
MAX_PIXELS = 2**27

_PILLOW_LIMIT_LOCK = threading.Lock()


class ImageError(UserError):
    """An image that cannot be read; the message names the file and the reason in one line."""


def open_image(source: ImageSource, size: int | None = None) -> Image.Image:
    """Open an image of any kind, upright and in RGB.

    EXIF rotation is applied; transparency is laid over white; 16-bit and floating-point images are
    scaled to 8 bits, not clipped; of an animation the first frame is taken.

    Args:
        source: a path, a binary file or the bytes of one, a Pillow image, an array or a tensor (see
            `from_pixels`); none of them is modified.
        size: pixels that each side must keep; a huge JPEG is then decoded at a half, a quarter or
            an eighth of its size, many times faster. The image is never enlarged. None: all pixels.

    Returns:
        An image in mode "RGB" that carries no metadata: opening it again changes nothing.

    Raises:
        ImageError: missing, no regular file, unreadable, truncated, not an image, or more than
            `MAX_PIXELS`.
    """
    try:
        if is_pixels(source):
            source = from_pixels(source)
        if isinstance(source, Image.Image):
            return _upright_rgb(source)
        if not (
            isinstance(source, str | os.PathLike) or is_encoded(source) or hasattr(source, "read")
        ):
            raise ValueError(f"a {type(source).__name__} is neither a path nor pixels")
        with ExitStack() as stack:
            file = as_file(source) if is_encoded(source) else cast(str | os.PathLike | IO, source)
            if isinstance(file, (str, os.PathLike)):
                file = stack.enter_context(open_regular(expanded(file), links=True))
            image = stack.enter_context(_open_header(file))
            if image.format == "EPS":  # its decoder is Ghostscript, which runs it
                raise ValueError("a PostScript program, not pixels")
            _check_pixels(image, 2 * MAX_PIXELS)
            if size is not None:
                image.draft(None, (size, size))
            _check_pixels(image, MAX_PIXELS)
            return _upright_rgb(image)
    except UserError as error:
        raise ImageError(str(error)) from None
    # Damaged files make decoders raise almost anything: SyntaxError, struct.error, EOFError,
    # zlib.error, IndexError... All of them mean that this image cannot be read.
    except Exception as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        if isinstance(error, UnidentifiedImageError) and (known := _format_of(source)):
            raise ImageError(
                f"{_name_of(source)}: {known.name}, which Pillow cannot read here. {known.advice}."
            ) from None
        reason = reason.partition(" <_io.")[0]  # the bytes of a file have no name
        raise ImageError(f"{_name_of(source)}: cannot be read as an image ({reason}).") from error


def _name_of(source: ImageSource) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "filename", None) or getattr(source, "name", None)
    return name if isinstance(name, str) else "the given image"


def _format_of(source: ImageSource) -> PictureFormat | None:
    """The format of a file that Pillow does not know, if it is that of pictures."""
    by_name = format_by_name(_name_of(source))
    with suppress(Exception), ExitStack() as stack:
        file: Any = as_file(source) if is_encoded(source) else source
        if isinstance(file, (str, os.PathLike)):
            file = stack.enter_context(open_regular(expanded(file), links=True))
        file.seek(0)
        start = file.read(1024)
        file.seek(0)
        return format_by_content(start) or by_name
    return by_name


def _open_header(file: str | os.PathLike[str] | IO[bytes]) -> Image.Image:
    """Read the size and the mode of an image.

    Pillow's limit is a global of the whole process, and warns of real photographs. It is lifted
    only while the header is read, so that other users of Pillow in this process keep it.
    """
    with _PILLOW_LIMIT_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        except UnidentifiedImageError:
            known = _format_of(file)
            if known is None or not known.readable():
                raise
            return Image.open(file)  # by its plugin, which is loaded now
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_pixels(image: Image.Image, most: int) -> None:
    """Refuse a decompression bomb by its header."""
    if image.width * image.height > most:
        raise ValueError(f"{image.width} x {image.height} pixels, more than the limit of {most:,}")


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    with suppress(Exception):  # damaged metadata: the picture is used as it is stored
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it would be copied
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(image)).convert("RGB")
    elif image.has_transparency_data:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer)
    else:
        image = image.convert("RGB")  # a copy, also of an image in RGB
    image.info = {}  # without its metadata the image is not turned a second time
    return image


def _to_8_bits(image: Image.Image) -> np.ndarray:
    """The pixels (H, W) uint8 of an image with more than 8 bits: modes I;16*, I and F."""
    values = np.asarray(image)
    if values.dtype.itemsize == 2:
        # The high byte, which is what Pillow takes of 16-bit colour images.
        return (values >> 8).astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    # These modes do not define white: take the smallest usual range that holds every value.
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    brightest = float(values.max(initial=0.0))
    white = next((white for white in usual if brightest <= white), brightest)
    return (values.clip(0.0) * (255.0 / white)).round().astype(np.uint8)
