"""Devices: choosing one, transfers between it and the host, and all that only a GPU needs.

Every branch that is taken on a GPU alone is in this file, each with its reason. `is_gpu` is True where
CUDA's rules hold: on CUDA, and on a backend that is registered with PyTorch, such as that of the tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from common.errors import UserError, one_line

Value = TypeVar("Value")


DeviceLike: TypeAlias = str | torch.device


def choose_device(name: DeviceLike) -> torch.device:
    """The device of that name; `auto` takes a GPU if there is one.

    Args:
        name: auto, or any device that PyTorch knows here, registered backends included; or the device
            itself.

    Raises:
        UserError: PyTorch knows no such device, or there is none here.
    """
    if name == "auto":
        # Not Apple's, unless it is named: its kernels were never tried.
        found = (
            torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        )
        return torch.device("cpu") if found is None or found.type == "mps" else found
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(
            f"--device {name}: PyTorch knows no such device here. Name cpu, cuda, cuda:1, mps, a "
            "backend that is installed, or auto."
        ) from None
    try:
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError) as error:  # NotImplementedError is a RuntimeError
        raise UserError(
            f"--device {name} cannot be used here: {one_line(error)[:200].rstrip('.')}."
        ) from None
    return device


def is_gpu(device: torch.device) -> bool:
    """Whether CUDA's rules hold on a device: it computes asynchronously."""
    return device.type in ("cuda", torch._C._get_privateuse1_backend_name())


def device_of_process(number: int) -> torch.device:
    """The device of one of several processes on a machine that train together: GPU number `number`,
    which becomes the current one, or the CPU where there is no CUDA."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)  # NCCL uses the current one
    return device


def gpu_name(device: torch.device) -> str | None:
    """The name of a GPU; None if the device is none."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(device) if is_gpu(device) else None


# -- between host and device -----------------------------------------------------------------------


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device, without waiting for the device.

    A copy from ordinary memory makes the host wait; one from pinned memory does not.
    """
    if tensor.device.type == device.type:
        return tensor.to(device)
    return pinned(tensor, device).to(device, non_blocking=is_gpu(device))


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host in pinned memory if the device is a GPU; otherwise the tensor as it is."""
    if is_gpu(device) and tensor.device.type == "cpu" and not tensor.is_pinned():
        return tensor.pin_memory()
    return tensor


def moved(value: Value, device: torch.device | str, *, scalars: bool = True) -> Value:
    """A value with all of its tensors on a device.

    Each transfer between a GPU and the host makes the host wait. So there is only one for each dtype,
    however many tensors there are.

    Args:
        value: a tensor, or dicts, lists, tuples and plain values around tensors.
        device: the device. Tensors that are there already stay the same objects; if all are, so does
            the value.
        scalars: whether to move tensors without dimensions too.
    """
    device = torch.device(device)
    found: dict[tuple, Tensor] = {}

    def is_there(tensor: Tensor) -> bool:
        any_of_its_kind = None in (device.index, tensor.device.index)
        return tensor.device.type == device.type if any_of_its_kind else tensor.device == device

    def note(tensor: Tensor) -> Tensor:
        if not is_there(tensor) and (tensor.ndim or scalars):
            found.setdefault(_place(tensor), tensor.detach())
        return tensor

    map_tensors(value, note)
    if not found:
        return value
    arrived: dict[tuple, Tensor] = {}
    for dtype in dict.fromkeys(tensor.dtype for tensor in found.values()):
        group = {place: tensor for place, tensor in found.items() if tensor.dtype == dtype}
        together = torch.cat([_in_order_of_memory(tensor) for tensor in group.values()])
        together = (
            upload(together, device) if together.device.type == "cpu" else together.to(device)
        )
        parts = together.split([tensor.numel() for tensor in group.values()])
        for (place, tensor), part in zip(group.items(), parts, strict=True):
            strides = tensor.stride() if _is_dense(tensor) else None
            part = part.as_strided(tensor.shape, strides) if strides else part.view(tensor.shape)
            # On a GPU each has memory of its own, which kernels read fastest.
            arrived[place] = part.clone() if is_gpu(device) else part
    return map_tensors(value, lambda tensor: arrived.get(_place(tensor), tensor))


def to_host(value: Value) -> Value:
    """A value with all of its tensors on the host, without their graphs.

    What leaves a model for a file, a picture, TensorBoard or a user's hands goes through here.
    """
    return moved(detached(value), "cpu")


def detached(value: Value) -> Value:
    """A value with all of its tensors detached; the same value if none requires gradients."""
    graphs: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        if tensor.requires_grad:
            graphs.append(tensor)
        return tensor

    map_tensors(value, note)
    return map_tensors(value, Tensor.detach) if graphs else value


def map_tensors(value: Any, function: Callable[[Any], Any], kind: type = Tensor) -> Any:
    """A value of dicts, lists, tuples, dataclasses and plain values with each of its tensors mapped, or
    each object of another kind."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, dict):
        return {name: map_tensors(each, function, kind) for name, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a NamedTuple
        return type(value)(*(map_tensors(each, function, kind) for each in value))
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(each, function, kind) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(
            value, **{name: map_tensors(getattr(value, name), function, kind) for name in fields}
        )
    return value


def _in_order_of_memory(tensor: Tensor) -> Tensor:
    """The numbers of a tensor in one row."""
    return tensor.as_strided((tensor.numel(),), (1,)) if _is_dense(tensor) else tensor.reshape(-1)


def _is_dense(tensor: Tensor) -> bool:
    """Whether a tensor fills its memory, in whatever order of its dimensions (channels last)."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return tensor.numel() > 0


def _place(tensor: Tensor) -> tuple:
    """A key that is the same for tensors that share their memory, as tied weights do."""
    if not tensor.numel():
        return (id(tensor),)
    return (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)


# -- what only a GPU has ---------------------------------------------------------------------------


@contextmanager
def tensor_float32(device: torch.device, allowed: bool) -> Iterator[None]:
    """Within the block, whether products of float32 may be rounded to TensorFloat-32 on a GPU.

    PyTorch allows it in cuDNN's kernels and not in other products, so that one network would give
    different results step by step and in one pass: here both follow one choice. (CUDA only.)
    """
    if device.type != "cuda":
        yield
        return
    products, kernels = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, kernels.allow_tf32
    products.allow_tf32, kernels.allow_tf32 = allowed, allowed
    try:
        yield
    finally:
        products.allow_tf32, kernels.allow_tf32 = before


def has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU multiplies in bfloat16 by itself. (Old ones emulate it, slowly.)"""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    module = torch.get_device_module(device) if is_gpu(device) else None
    return bool(getattr(module, "is_bf16_supported", lambda: False)())


def generator_state(device: torch.device) -> Tensor | None:
    """The state of a GPU's own random generator; None on the host, whose generator is PyTorch's.

    Only of the given device: reading the state of every GPU would start them all.
    """
    return torch.get_device_module(device).get_rng_state(device) if is_gpu(device) else None


def set_generator_state(device: torch.device, state: Tensor | None) -> bool:
    """Restore what `generator_state` returned. Returns False if that cannot be done: the state is of
    another kind of device, or None for a GPU."""
    if not is_gpu(device):
        return state is None
    if state is None:
        return False
    try:
        torch.get_device_module(device).set_rng_state(state.cpu(), device)
    except (RuntimeError, TypeError):  # of another kind of GPU
        return False
    return True


def seed_generator(device: torch.device, seed: int) -> None:
    """Seed a GPU's own generator; the host's stays as it is."""
    if is_gpu(device):
        generator = torch.Generator(device).manual_seed(seed)
        torch.get_device_module(device).set_rng_state(generator.get_state(), device)


def peak_memory(device: torch.device) -> int | None:
    """The most bytes of a GPU's memory that were used since the last call; None on the host."""
    if not is_gpu(device):
        return None
    module: Any = torch.get_device_module(device)
    if not hasattr(module, "max_memory_allocated"):
        return None
    peak = module.max_memory_allocated(device)
    module.reset_peak_memory_stats(device)
    return peak


@contextmanager
def naming_batch_size(examples: int) -> Iterator[None]:
    """Turn an out-of-memory error into one line that names the batch size.

    Raises:
        UserError: the device, or the host, is out of memory.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        # The others are of the host's allocator, of CUDA outside of PyTorch's, and of cuDNN.
        others = ("allocate memory", "out of memory", "ALLOC_FAILED")
        known = isinstance(error, torch.OutOfMemoryError)
        if not known and not any(text in str(error) for text in others):
            raise
        raise UserError(
            f"out of memory with a batch of {examples}: lower --batch-size, or the sizes of the "
            f"model ({one_line(error)[:160].rstrip('.')})."
        ) from None
