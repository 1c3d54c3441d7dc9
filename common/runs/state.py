"""The state of a training in one file, from which nothing can run code."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError
from common.files import atomic_write


def save_state(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and plain values with `torch.save`, atomically."""
    buffer = io.BytesIO()  # in memory first: torch's writer does not report a full disk as OSError
    torch.save(state, buffer)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The dict that `save_state` wrote, tensors on the CPU; nothing in the file can run code.

    Raises:
        UserError: the file is missing, damaged, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    data = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(data, map_location="cpu", weights_only=True)
    except Exception:  # what torch raises for a damaged file can be anything
        state = None
    if not isinstance(state, dict):
        raise UserError(
            f"{path} is damaged, or is no training state. Put a copy of it there, or start the "
            "run anew (--overwrite)."
        )
    return state
