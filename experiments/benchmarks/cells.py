"""Cells on our own loops: beside those of other libraries, and with padding.

The other libraries are installed for this alone: pip install -e '.[peers]'.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from common.recurrent import (
    CoRNNCell,
    GRUCell,
    IndRNNCell,
    JANETCell,
    LayerNormLSTMCell,
    LEMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    PeepholeLSTMCell,
    Recurrent,
)
from common.recurrent.cells import Cell, CellFactory
from experiments.benchmarks.harness import CPU, Comparison, compare
from experiments.benchmarks.recurrent import lengths_of

PEERS: dict[str, tuple[CellFactory, float]] = {
    "PeepholeLSTM": (PeepholeLSTMCell, 0.75),
    "JANET": (JANETCell, 0.8),
    "MGU": (MGUCell, 0.8),
    "coRNN": (CoRNNCell, 0.8),
    "LEM": (LEMCell, 0.9),
    "IndRNN": (partial(IndRNNCell, nonlinearity="tanh"), 0.9),
}
"""torchrecurrent's layers: our cell, and the most time it may take as a multiple of theirs."""

MASKED: tuple[type[Cell], ...] = (
    GRUCell, LSTMCell, LayerNormLSTMCell, PeepholeLSTMCell, MGUCell, LEMCell, IndRNNCell, MinGRUCell,
)  # fmt: skip


@cache
def peer(name: str) -> ModuleType | None:
    """Another library, if it is installed; otherwise a line says how to."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        print(f"without {name}: pip install -e '.[peers]' installs it", file=sys.stderr)
        return None


def learning(network: nn.Module, *inputs: Tensor) -> Callable[[], None]:
    """Forward and backward, as a training does it: the gradients of the weights are made anew."""

    def work() -> None:
        network.zero_grad()
        outputs: Any = network(*inputs)
        (outputs if isinstance(outputs, Tensor) else outputs[0]).sum().backward()

    return work


def beside_torchrecurrent(
    name: str,
    batch: int = 64,
    steps: int = 100,
    size: int = 256,
    rounds: int = 15,
    device: torch.device = CPU,
) -> Comparison:
    """A layer of torchrecurrent, the same cell of ours, and torch's GRU for scale.

    Theirs are time-major. Both have the same equations, but for two: their LEM drives its second state
    by the first as it was a step before, and their JANET learns beta, a constant of the paper.
    """
    torch.manual_seed(0)
    cell, most = PEERS[name]
    inputs = torch.randn(batch, steps, size).to(device)
    ours = learning(Recurrent(cell, size, size).to(device), inputs)
    scale = learning(nn.GRU(size, size, batch_first=True).to(device), inputs)
    variants: dict[str, Callable[[], object]] = {
        f"our {name}": ours,
        "torch.nn.GRU": scale,
    }
    if library := peer("torchrecurrent"):
        theirs = getattr(library, name)(size, size).to(device)
        first = learning(theirs, inputs.transpose(0, 1).contiguous())
        variants = {f"torchrecurrent.{name}": first} | variants
    return compare(
        f"{name}, batch {batch}, {steps} steps, {size} to {size}",
        variants,
        rounds=rounds,
        bars={f"our {name}": most} if library else {},
        device=device,
    )


def min_gru(
    batch: int = 64,
    steps: int = 1000,
    size: int = 100,
    rounds: int = 9,
    device: torch.device = CPU,
) -> Comparison:
    """minGRU against torch's GRU."""
    return _min_gru(nn.GRU(size, size, batch_first=True), batch, steps, size, rounds, device, 0.4)


def min_gru_beside_its_peer(
    batch: int = 64,
    steps: int = 1000,
    size: int = 100,
    rounds: int = 3,
    device: torch.device = CPU,
) -> Comparison:
    """minGRU against that of minGRU-pytorch, which has no bias. It is measured apart: what it leaves of
    the caches and the heap would slow down whatever is measured next."""
    library = peer("minGRU_pytorch")
    other = library.minGRU(size) if library else None
    return _min_gru(other, batch, steps, size, rounds, device)


def _min_gru(
    other: nn.Module | None,
    batch: int,
    steps: int,
    size: int,
    rounds: int,
    device: torch.device,
    most: float | None = None,
) -> Comparison:
    torch.manual_seed(0)
    inputs = torch.randn(batch, steps, size).to(device)
    networks: dict[str, nn.Module] = {"our minGRU": Recurrent(MinGRUCell, size, size)}
    if other is not None:
        library = type(other).__module__.split(".")[0]
        networks = {f"{library}, {type(other).__name__}": other} | networks
    return compare(
        f"minGRU, batch {batch}, {steps} steps, {size} to {size}",
        {name: learning(each.to(device), inputs) for name, each in networks.items()},
        rounds=rounds,
        bars={} if most is None else {"our minGRU": most},
        device=device,
    )


def with_masks(
    cell: type[Cell],
    batch: int = 64,
    steps: int = 50,
    size: int = 256,
    rounds: int = 11,
    device: torch.device = CPU,
) -> Comparison:
    """Our loop over a whole batch, and over a padded one of the same size."""
    torch.manual_seed(0)
    network = Recurrent(cell, size, size).to(device)
    inputs, lengths = torch.randn(batch, steps, size).to(device), lengths_of(batch, steps)
    return compare(
        f"{cell.__name__}, batch {batch}, {steps} steps, {size} to {size}",
        {
            "without lengths": learning(network, inputs),
            "lengths of half to all steps": learning(network, inputs, lengths),
        },
        rounds=rounds,
        bars={"lengths of half to all steps": 1.15},
        device=device,
    )
