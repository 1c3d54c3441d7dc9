"""What every cell can do in `Recurrent`: a table, found by trying.

python -m experiments.capabilities           prints it
"""

from __future__ import annotations

import torch

from common.errors import run_command
from common.recurrent import Recurrent, cells
from common.recurrent.cells import Cell, LinearCell
from common.recurrent.fused import STANDARD
from common.recurrent.state import state_tensors

B, T, X, H = 2, 5, 3, 4
MASK = torch.tensor([[False, True, True, False, True], [True, True, False, False, False]])
RESETS = torch.tensor([[False, False, True, False, False], [True, False, False, False, False]])

OPTIONS: dict[str, dict] = {
    "both directions": {"bidirectional": True},
    "sizes by layer": {"hidden_size": [H, H + 1]},
    "residual": {"num_layers": 2, "connections": "residual"},
    "dense": {"num_layers": 2, "connections": "dense"},
    "learnt first state": {"learn_initial_state": True},
    "input dropout": {"input_dropout": 0.5},
    "recurrent dropout": {"recurrent_dropout": 0.5},
    "weight dropout": {"weight_dropout": 0.5},
    "zoneout": {"zoneout": 0.5},
    "loop": {"mode": "loop"},
    "parallel": {"mode": "parallel"},
}
"""What is tried, by the name of its column; beside a mask with holes and resets."""


def table() -> list[list[str]]:
    """The rows of the table, its heading first."""
    rows = [["cell", "CPU", "GPU", "mask", "resets", *OPTIONS]]
    made = {f'"{name}"': name for name in STANDARD}
    made |= {name: getattr(cells, name) for name in cells.__all__ if name.endswith("Cell")}
    for name, cell in made.items():
        if cell in (Cell, LinearCell) or cell == cells.CellFactory:
            continue
        entries = [_try(cell, {}, mask=MASK), _try(cell, {}, resets=RESETS)]
        entries += [_try(cell, options) for options in OPTIONS.values()]
        rows.append([f"`{name}`", *_routes(cell), *entries])
    return rows


def _routes(cell: object) -> tuple[str, str]:
    """What unrolls a cell on a CPU and on a GPU."""
    if isinstance(cell, str):
        return "torch's kernel", "cuDNN"
    if isinstance(cell, type) and issubclass(cell, LinearCell):
        return "elementwise loop", "associative scan"
    return "loop", "loop"


def _try(cell: object, options: dict, **said: torch.Tensor) -> str:
    """Whether a cell takes options: yes, yes but on our loop, or no."""
    try:
        network = Recurrent(cell, X, **{"hidden_size": H} | options)  # type: ignore[arg-type]
    except ValueError:
        return ""
    outputs, state = network(torch.randn(B, T, X), **said)
    total = outputs.sum() + sum(part.sum() for part in state_tensors(state))
    gradients = torch.autograd.grad(total, list(network.parameters()), materialize_grads=True)
    if not all(each.isfinite().all() for each in gradients):
        return ""
    slower = isinstance(cell, str) and not network.regularization.keeps_kernels(training=True)
    return "loop" if slower else "x"


def markdown(rows: list[list[str]]) -> str:
    """A table in Markdown."""
    heading, *others = rows
    return "\n".join(
        "| " + " | ".join(row) + " |" for row in [heading, ["---"] * len(heading), *others]
    )


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    print(markdown(table()))


if __name__ == "__main__":
    run_command(main)
