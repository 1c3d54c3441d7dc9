"""Weights and the state of a training on disk: written atomically, read without running any code."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from common.compute.device import moved, to_host
from common.errors import UserError
from common.files import atomic_write

TIED = "tied"  # the key of the file's metadata that says which names share one tensor


def save_weights(path: str | os.PathLike[str], weights: dict[str, Tensor]) -> None:
    """Write the state dict of a model as safetensors, atomically.

    Names that share one tensor (tied embeddings) are written once; the file says who shares.
    """
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} is not a tensor: such a state dict cannot be written safely")
    weights = to_host(weights)
    kept: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first_name: dict[tuple, str] = {}
    for name, tensor in weights.items():
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in first_name:
            tied[name] = first_name[place]
            continue
        first_name[place] = name
        # A view into a larger storage (cuDNN's flattened weights) gets a storage of its own.
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        tensor = tensor.contiguous()
        kept[name] = tensor if whole else tensor.clone()
    # One entry only: safetensors writes several in any order, and the same weights are to be the
    # same file.
    data = safetensors.torch.save(kept, metadata={TIED: json.dumps(tied)})
    with atomic_write(path, "wb") as file:
        file.write(data)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state dict of a safetensors file; tied names share their tensor again.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            tied = json.loads((file.metadata() or {}).get(TIED, "{}"))
        return weights | {name: weights[first] for name, first in tied.items()}
    except (SafetensorError, KeyError, ValueError, AttributeError):
        raise UserError(
            f"{path} is damaged, or holds no weights. Put a copy of it there, or train again."
        ) from None


def load_weights(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Put the weights of a safetensors file into `model`, all or none.

    Raises:
        UserError: the file is missing, damaged, or of another architecture.
    """
    load_state_dict(model, read_weights(path), path)


def load_state_dict(
    model: nn.Module, weights: dict[str, Tensor], where: str | os.PathLike[str] = ""
) -> None:
    """`model.load_state_dict(weights)`, with one transfer for all tensors of a type; weights of another
    architecture are refused, as of the file `where`, if one is named."""
    if where:
        check_same_architecture(where, weights, model)
    first = next(model.parameters(), None)
    model.load_state_dict(weights if first is None else moved(weights, first.device))


def check_same_architecture(
    where: str | os.PathLike[str], weights: dict[str, Tensor], model: nn.Module
) -> None:
    """Compare names and shapes; a `UserError` names the first that differ."""
    expected = model.state_dict()
    for name in [*expected, *weights]:
        if name not in weights:
            problem = f"it has no {name}"
        elif name not in expected:
            problem = f"it has {name}, unknown here"
        elif weights[name].shape != expected[name].shape:
            there, here = tuple(weights[name].shape), tuple(expected[name].shape)
            problem = f"{name} is {there} there and {here} here"
        else:
            continue
        raise UserError(f"{where} is a checkpoint of another architecture: {problem}.")


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
