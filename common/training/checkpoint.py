"""Weights and training states on disk: written atomically, read without running any code."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from common.errors import UserError
from common.files import atomic_write

TIED = "tied"  # the key of the file's metadata that says which names share one tensor


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """The state of every random generator, of plain values and tensors."""
    algorithm, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (algorithm, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put every random generator back to where `random_state` found it."""
    random.setstate(_as_tuples(state["python"]))
    algorithm, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def save_weights(path: str | os.PathLike[str], weights: dict[str, Tensor]) -> None:
    """Write the state dict of a model as safetensors, atomically.

    Names that share one tensor (tied embeddings) are written once; the file says who shares.
    """
    kept: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first_name: dict[tuple, str] = {}
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} is not a tensor: such a state dict cannot be written safely")
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in first_name:
            tied[name] = first_name[place]
            continue
        first_name[place] = name
        # A view into a larger storage (cuDNN's flattened weights) gets a storage of its own.
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        tensor = tensor.detach().cpu().contiguous()
        kept[name] = tensor if whole else tensor.clone()
    data = safetensors.torch.save(kept, metadata={"format": "pt", TIED: json.dumps(tied)})
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
    except (SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged: {_first_line(error)}. Copy it again, or train again."
        ) from None


def load_weights(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Put the weights of a safetensors file into `model`, all or none.

    Raises:
        UserError: the file is missing, damaged, or of another architecture.
    """
    weights = read_weights(path)
    check_same_architecture(path, weights, model)
    model.load_state_dict(weights)


def check_same_architecture(
    where: str | os.PathLike[str], weights: dict[str, Tensor], model: nn.Module
) -> None:
    """Compare names and shapes; a `UserError` names the first that differ."""
    expected = model.state_dict()
    for name, tensor in expected.items():
        if name not in weights:
            problem = f"it has no {name}"
        elif weights[name].shape != tensor.shape:
            there, here = tuple(weights[name].shape), tuple(tensor.shape)
            problem = f"{name} is {there} there and {here} here"
        else:
            continue
        raise UserError(f"{where} is a checkpoint of another architecture: {problem}.")
    for name in weights:
        if name not in expected:
            raise UserError(
                f"{where} is a checkpoint of another architecture: it has {name}, unknown here."
            )


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
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is damaged or is no training state: {_first_line(error)}"
        ) from None
    if not isinstance(state, dict):
        raise UserError(f"{path} is no training state.")
    return state


def _first_line(error: Exception) -> str:
    """What an exception says in one line, without the advice that follows it."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
