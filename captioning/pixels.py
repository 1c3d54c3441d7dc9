"""Pictures that are in memory: arrays, tensors, and bytes of image files."""

from __future__ import annotations

import io
from typing import IO, TypeAlias, TypeGuard

import numpy as np
from PIL import Image
from torch import Tensor

from common.compute.device import to_host

Pixels: TypeAlias = np.ndarray | Tensor
Encoded: TypeAlias = bytes | bytearray | memoryview


def is_pixels(source: object) -> TypeGuard[Pixels]:
    """Whether a source is an array or a tensor."""
    return isinstance(source, np.ndarray | Tensor)


def is_encoded(source: object) -> TypeGuard[Encoded]:
    """Whether a source is the content of an image file."""
    return isinstance(source, bytes | bytearray | memoryview)


def as_file(source: Encoded) -> IO[bytes]:
    """The content of an image file as a file."""
    return io.BytesIO(source)


def from_pixels(source: Pixels) -> Image.Image:
    """The image of an array or a tensor, in grey, RGB or RGBA.

    Args:
        source: an array (H, W), (H, W, 3) or (H, W, 4), as numpy, OpenCV and Pillow have it, or a
            tensor (H, W), (1, H, W), (3, H, W) or (4, H, W), as torchvision has it, on any device;
            uint8, or floats in [0, 1]. The colours are red, green and blue: those of OpenCV are in
            another order, which nobody can see in an array.

    Raises:
        ValueError: it is no such thing; the message says what it is.
    """
    what, first = ("a tensor", True) if isinstance(source, Tensor) else ("an array", False)
    # Tensors of bfloat16 have no array.
    values = np.asarray(_as_array(source) if isinstance(source, Tensor) else source)
    shape = tuple(source.shape)
    if values.ndim == 3 and first:
        values = values.transpose(1, 2, 0)
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or channels not in (1, 3, 4) or not values.size:
        raise ValueError(f"{what} of shape {shape}{_advice(shape, first)}")
    if values.ndim == 3 and channels == 1:
        values = values[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(_as_bytes(values, what)))


def _as_array(tensor: Tensor) -> np.ndarray:
    tensor = to_host(tensor.detach())
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _advice(shape: tuple[int, ...], first: bool) -> str:
    wanted = "(3, H, W)" if first else "(H, W, 3)"
    if len(shape) == 4:
        return f": several pictures are given as a list, each of shape {wanted}"
    if len(shape) == 3 and (shape[2] if first else shape[0]) in (1, 3, 4):
        how = ".permute(2, 0, 1)" if first else ".transpose(1, 2, 0)"
        return f": give {wanted}, which it is after {how}"
    return f": give {wanted}"


def _as_bytes(values: np.ndarray, what: str) -> np.ndarray:
    """The same values as uint8."""
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{what} of {values.dtype}: give uint8, or floats in [0, 1]")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # nor where one is NaN
        raise ValueError(
            f"{what} of floats from {low:.4g} to {high:.4g}: give them in [0, 1], not normalised, or "
            "uint8"
        )
    return (values * 255).round().astype(np.uint8)
