"""Weights and the state of a training on disk: written atomically, read without running any code."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from common.compute.device import moved, to_host
from common.errors import UserError
from common.files import SEAL_SIZE, atomic_write, checksum, expanded, is_sound, open_regular, seal

Model = TypeVar("Model", bound=nn.Module)

METADATA = "__metadata__"
TIED = "tied"  # the key of the file's metadata that says which names share one tensor
CHECKSUM = "checksum"  # the key of one over the tensors and the rest of the header
# What json and safetensors raise for damaged bytes.
DAMAGE = (SafetensorError, LookupError, ValueError, AttributeError, TypeError, RecursionError)


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
    data = memoryview(safetensors.torch.save(kept, metadata={TIED: json.dumps(tied)}))
    header, tensors = _header(data)
    metadata = {TIED: header[METADATA][TIED], CHECKSUM: _checksum(header, tensors)}
    # Written anew: safetensors writes two entries in any order, and the same weights are to be the
    # same file. Blanks end it where the tensors are aligned.
    text = json.dumps(header | {METADATA: metadata}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path, "wb") as file:
        file.writelines((len(text).to_bytes(8, "little"), text, tensors))


def _header(data: memoryview) -> tuple[dict[str, Any], memoryview]:
    """The header of a safetensors file, and the bytes of its tensors.

    Raises:
        ValueError, RecursionError: it has none.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(bytes(data[8:end]))
    if not isinstance(header, dict) or not isinstance(header.setdefault(METADATA, {}), dict):
        raise ValueError("no header of a safetensors file")
    return header, data[end:]


def _checksum(header: dict[str, Any], tensors: memoryview) -> str:
    metadata = {name: each for name, each in header[METADATA].items() if name != CHECKSUM}
    described = json.dumps(header | {METADATA: metadata}, sort_keys=True)
    return checksum(tensors, checksum(described.encode()))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """A safetensors file that is as it was written, by safetensors' own reader, and which of its names
    share a tensor.

    Raises:
        UserError: it cannot be opened, or what is done with it finds it damaged.
    """
    try:
        with open_regular(path) as file:
            header, tensors = _header(memoryview(mmap(file.fileno(), 0, access=ACCESS_READ)))
        found = header[METADATA].get(CHECKSUM)
        sound = found is None or found == _checksum(header, tensors)
        metadata = header[METADATA]
        if not sound or (TIED in metadata and metadata.keys() - {TIED, CHECKSUM}):
            raise ValueError("changed since it was written, perhaps in the key of the checksum")
        with safe_open(path, framework="pt") as reader:
            yield reader, json.loads(metadata.get(TIED, "{}"))
    except DAMAGE:
        raise UserError(
            f"{path} is damaged, or holds no weights. Put a copy of it there, or train again."
        ) from None


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state dict of a safetensors file; tied names share their tensor again.

    A file of others, or of an earlier version, has no checksum that it could differ from.

    Raises:
        UserError: the file is missing or damaged.
    """
    with _opened(expanded(path)) as (file, tied):
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return weights | {name: weights[first] for name, first in tied.items()}


def read_shapes(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """`read_weights` without the values: on the meta device, where tensors take no memory.

    Raises:
        UserError: the file is missing or damaged.
    """
    with _opened(expanded(path)) as (file, tied), torch.device("meta"):
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        try:
            weights = {name: torch.empty(shape) for name, shape in shapes.items()}
        except RuntimeError as error:  # more elements than can be counted
            raise ValueError from error
        return weights | {name: weights[first] for name, first in tied.items()}


def build_to_fit(path: str | os.PathLike[str], build: Callable[[], Model]) -> Model:
    """What `build` makes, once it is known that a safetensors file holds its weights.

    It is built on the meta device first, where a network too large for the machine costs no memory.

    Raises:
        UserError: the file is damaged or of another architecture.
    """
    try:
        with torch.device("meta"):
            sizes = build()
    except UserError as error:
        raise UserError(f"{path}: the network of its run cannot be built: {error}") from None
    check_same_architecture(path, read_shapes(path), sizes)
    return build()


def load_weights(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Put the weights of a safetensors file into `model`, all or none.

    Raises:
        UserError: the file is missing, damaged, or of another architecture.
    """
    load_state_dict(model, read_weights(path), path)


def load_last_weights(path: Path, model: nn.Module) -> None:
    """Put the weights of a training state into `model`.

    Raises:
        UserError: the state is missing, damaged or of another architecture.
    """
    load_state_dict(model, read_state(path).get("model", {}), path)


def load_state_dict(
    model: nn.Module, weights: dict[str, Tensor], where: str | os.PathLike[str] = ""
) -> None:
    """`model.load_state_dict(weights)`, with one transfer for all tensors of a type.

    Weights of another architecture, and those that are not finite, are refused, as of the file `where`,
    if one is named.
    """
    if where:
        check_same_architecture(where, weights, model)
        learnt = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        for name, tensor in weights.items():
            check_finite(where, name, tensor, name in learnt)
    first = next(model.parameters(), None)
    model.load_state_dict(weights if first is None else moved(weights, first.device))


def check_finite(where: str | os.PathLike[str], name: str, tensor: Tensor, learnt: bool) -> None:
    """Refuse a weight that is not finite by a `UserError`; a buffer, as a mask, may be infinite."""
    if (~tensor.float().isfinite() if learnt else tensor.isnan()).any():
        raise UserError(f"{where}: {name} is not finite. Put a copy there, or train again.")


def check_same_architecture(
    where: str | os.PathLike[str], weights: dict[str, Tensor], model: nn.Module
) -> None:
    """Compare names and shapes; a `UserError` names the first that differ."""
    if not isinstance(weights, dict) or not all(isinstance(e, Tensor) for e in weights.values()):
        raise UserError(f"{where} is damaged: it has no weights.")
    expected = model.state_dict()
    for name in [*expected, *weights]:
        if name not in weights:
            problem = f"it has no {name}"
        elif name not in expected:
            problem = f"it has {name}, unknown here"
        elif weights[name].shape != expected[name].shape:
            there, here = tuple(weights[name].shape), tuple(expected[name].shape)
            problem = f"{name} is {there} there and {here} here"
        elif weights[name].layout != expected[name].layout or weights[name].is_quantized:
            problem = f"{name} is not stored plainly"
        else:
            continue
        raise UserError(f"{where} is a checkpoint of another architecture: {problem}.")


def save_state(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a nested dict of tensors and plain values with `torch.save`, sealed, atomically."""
    buffer = io.BytesIO()  # in memory first: torch's writer does not report a full disk as OSError
    torch.save(state, buffer)
    seal(buffer)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The dict that `save_state` wrote, tensors on the CPU; nothing in the file can run code.

    A file of an earlier version has no checksum and is not checked by one.

    Raises:
        UserError: the file is missing, damaged, or holds more than tensors and plain values.
    """
    with open_regular(path) as file:
        data = io.BytesIO(file.read())
    # torch writes a ZIP archive, whose last record is of 22 bytes.
    state = None
    unsealed = data.getbuffer()[-22:-18] == b"PK\5\6"
    size = max(0, len(data.getbuffer()) - (0 if unsealed else SEAL_SIZE))
    if is_sound(data, size):
        data.seek(0)
        with suppress(Exception):  # what torch raises for a damaged file can be anything
            state = torch.load(data, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise UserError(
            f"{path} is damaged, or is no training state. Put a copy of it there, or start the "
            "run anew (--overwrite)."
        )
    return state
