"""A pretended GPU, device `gpu`, on any machine with a C++ compiler and ninja.

Its memory is the host's and its kernels are the CPU's, but its rules are a GPU's and cuDNN's: what a
GPU refuses is refused, and what makes the host wait for a GPU is reported. `register` compiles
`gpu.cpp` once (a minute) and registers the device with this process: import nothing else of it before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

NAME = "gpu"
SOURCE = Path(__file__).with_name("gpu.cpp")
ROOT = SOURCE.parents[2]


class Unavailable(Exception):
    """The device cannot be made here; the message says why."""


def wanted() -> str:
    """The device to test on: what UNROLL_TEST_DEVICE names, CUDA where it is, or the pretended GPU."""
    return os.environ.get("UNROLL_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else NAME)


def is_wanted() -> bool:
    return wanted().split(":")[0] == NAME


def register() -> ModuleType:
    """Make the device known to PyTorch in this process.

    Raises:
        Unavailable: there is no compiler or no ninja, or it does not compile.
    """
    found = _registered()
    if isinstance(found, Unavailable):
        raise found
    return found


@cache
def _registered() -> ModuleType | Unavailable:
    """The extension, once for a process, or why there is none."""
    try:
        return _register()
    except Unavailable as reason:
        return reason


def _register() -> ModuleType:
    from torch.utils import cpp_extension

    # ninja is installed beside the interpreter, which need not be on the path.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if not cpp_extension.is_ninja_available():
        raise Unavailable("the pretended GPU needs ninja: pip install ninja")
    compiler = cpp_extension.get_cxx_compiler()
    try:
        subprocess.run([compiler, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise Unavailable(f"the pretended GPU needs a C++ compiler: {compiler} not found") from None
    try:
        extension = cpp_extension.load("pretended_gpu", [str(SOURCE)], extra_cflags=["-O1"])
    except (RuntimeError, ImportError) as error:
        lines = [line for line in str(error).splitlines() if "error" in line] or [str(error)]
        raise Unavailable(f"the pretended GPU does not compile: {lines[0][:300]}") from None
    Backend.extension = extension
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, Backend)
    torch.utils.generate_methods_for_privateuse1_backend()
    _add_rules_of_cudnn()
    _add_rules_of_autocast()
    return extension


class Backend:
    """What `torch.gpu` and `torch.get_device_module` find, as `torch.cuda` is for CUDA."""

    extension: Any = None
    peaks_reset = 0

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def set_device(device: Any) -> None:
        pass

    @staticmethod
    def device(device: Any) -> AbstractContextManager[None]:
        return nullcontext()

    @staticmethod
    def synchronize(device: Any = None) -> None:
        pass

    @staticmethod
    def manual_seed(seed: int) -> None:
        Backend.extension.manual_seed(seed % 2**64)

    manual_seed_all = manual_seed

    @staticmethod
    def get_rng_state(device: Any = 0) -> Tensor:
        return Backend.extension.get_state()

    @staticmethod
    def set_rng_state(state: Tensor, device: Any = 0) -> None:
        Backend.extension.set_state(state)

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16, torch.float32]

    @staticmethod
    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return True

    @staticmethod
    def max_memory_allocated(device: Any = None) -> int:
        return 2**30

    @staticmethod
    def reset_peak_memory_stats(device: Any = None) -> None:
        Backend.peaks_reset += 1


@contextmanager
def waits() -> Iterator[list[str]]:
    """Within the block, what makes the host wait for the device, each with the line that does."""
    found: list[str] = []
    register().listen(lambda what: found.append(f"{what} @ {_place()}"))
    try:
        yield found
    finally:
        register().listen(None)


def _place() -> str:
    """The innermost line of the project, outside of these tests, on the stack."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        inside = path.is_relative_to(ROOT) and "site-packages" not in path.parts
        if inside and SOURCE.parent not in path.parents:
            return f"{path.relative_to(ROOT)}:{frame.lineno} {frame.line}"
    return "elsewhere"


# -- cuDNN ---------------------------------------------------------------------------------------


def _add_rules_of_cudnn() -> None:
    """What cuDNN asks of a recurrent layer, beyond what the CPU's kernels ask."""
    for kind in ("gru", "lstm", "rnn_tanh", "rnn_relu"):
        packet = getattr(torch.ops.aten, kind)
        # input: (input, hx, params, has_biases, num_layers, dropout, train, ...)
        # data: (data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, ...)
        for name, states, train in (("input", 1, 6), ("data", 2, 7)):
            for key in ("AutogradPrivateUse1", "PrivateUse1"):
                rule = _recurrent_rule(getattr(packet, name), states, train)
                LIBRARY.impl(f"{kind}.{name}", rule, key)


def _recurrent_rule(overload: Any, states: int, train: int) -> Callable[..., Any]:
    def checked(*args: Any) -> Any:
        hx = args[states]
        for state in hx if isinstance(hx, list | tuple) else (hx,):
            if not state.is_contiguous():
                raise RuntimeError("rnn: hx is not contiguous")
        params, biased = args[states + 1], args[states + 2]
        if not biased and _has_content_behind(params):
            raise RuntimeError("cuDNN takes what lies behind the weights for biases")
        # Its rule for autocast would compute in float16; it has bfloat16 only from 9.13 on.
        if torch.is_autocast_enabled(NAME) or args[0].dtype == torch.bfloat16:
            raise RuntimeError("cuDNN's recurrent kernels are not for bfloat16")
        if states == 2:
            sizes = args[1]
            if sizes.device.type != "cpu":
                raise RuntimeError("batch_sizes should be on CPU")
            if not (sizes[:-1] >= sizes[1:]).all() or sizes[-1] < 1:
                raise RuntimeError("CUDNN_STATUS_BAD_PARAM: sequences sorted by falling length")
        # PyTorch's own composition in C++. (That of `decompose`, in Python, forgets the dropout.)
        result = overload._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args)
        if not args[train]:
            for tensor in result:
                if tensor.requires_grad:
                    tensor.register_hook(_refuse)
        return result

    return checked


def _has_content_behind(params: list[Tensor]) -> bool:
    """Whether weights without biases fill one chunk of memory in order, and what follows in it is not
    the zeros that cuDNN keeps there."""
    first = params[0].detach()
    end = first.data_ptr()
    for weight in params:
        if weight.data_ptr() != end:
            return False
        end += weight.numel() * weight.element_size()
    place = first.storage_offset() + (end - first.data_ptr()) // first.element_size()
    biases = sum(len(weight) for weight in params)
    room = first.untyped_storage().nbytes() // first.element_size() - place
    return room >= biases and bool(first.as_strided((biases,), (1,), place).cpu().any())


def _refuse(gradient: Tensor) -> None:
    raise RuntimeError("cudnn RNN backward can only be called in training mode")


# -- autocast ------------------------------------------------------------------------------------

# As CUDA does it: products in the lower type, what sums or exponentiates in float32, what joins in
# the widest.
LOWER = (
    "mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "mv", "addmv", "addbmm", "conv1d", "conv2d",
    "conv3d", "_convolution", "prelu", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "lstm_cell",
    "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "scaled_dot_product_attention",
)  # fmt: skip
FULL = (
    "exp", "log", "log2", "log10", "log1p", "expm1", "rsqrt", "reciprocal", "softplus",
    "pow.Tensor_Scalar", "softmax.int", "log_softmax.int", "layer_norm", "group_norm", "nll_loss",
    "nll_loss_nd", "cumsum", "cumprod", "prod", "sum", "sum.dim_IntList", "norm.Scalar",
    "cosine_similarity", "mse_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits",
)  # fmt: skip
WIDEST = ("cat", "stack", "addcmul", "addcdiv", "index_put", "scatter_add", "dot", "bilinear")
CASTABLE = (torch.float32, torch.float16, torch.bfloat16)
LIBRARY = torch.library.Library("aten", "IMPL")


def _add_rules_of_autocast() -> None:
    for names, policy in ((LOWER, "lower"), (FULL, "full"), (WIDEST, "widest")):
        for name in names:
            packet, _, overload = name.partition(".")
            found = getattr(torch.ops.aten, packet, None)
            if found is not None:
                rule = _autocast_rule(getattr(found, overload or "default"), policy)
                LIBRARY.impl(name, rule, "AutocastPrivateUse1")


def _autocast_rule(overload: Any, policy: str) -> Callable[..., Any]:
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            dtype = torch.float32
            if policy == "lower":
                dtype = torch.get_autocast_dtype(NAME)
            elif policy == "widest":
                kinds = {t.dtype for t in _tensors_of(args) if t.dtype in CASTABLE}
                if len(kinds) < 2:
                    return overload(*args, **kwargs)
            return overload(*_cast(args, dtype), **kwargs)

    return kernel


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        castable = value.device.type == NAME and value.dtype in CASTABLE
        return value.to(dtype) if castable else value
    if isinstance(value, list | tuple):
        return type(value)(_cast(item, dtype) for item in value)
    return value


def _tensors_of(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors_of(value)
