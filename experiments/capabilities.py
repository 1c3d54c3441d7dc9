"""What every cell can do in `Recurrent`: a table in common/recurrent/README.md, found by trying.

Shape: none. It stands between two comments, and is written anew by

    python -m experiments.capabilities
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from common.errors import run_command
from common.files import atomic_write
from common.recurrent import Recurrent, cells
from common.recurrent.cells import Cell, LinearCell
from common.recurrent.fused import STANDARD
from common.recurrent.state import state_tensors

PAGE = Path(__file__).resolve().parents[1] / "common" / "recurrent" / "README.md"
TABLE = re.compile(r"(<!-- capabilities -->\n)(.*?)(<!-- end -->)", re.DOTALL)

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
        if cell in (Cell, LinearCell):
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


def with_table(page: str) -> str:
    """The page with its table as it is to be."""
    heading, *others = table()
    rows = [heading, ["---"] * len(heading), *others]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return TABLE.sub(lambda found: f"{found[1]}\n{lines}\n{found[3]}", page)


def main() -> None:
    """Write the table anew."""
    with_it = with_table(PAGE.read_text(encoding="utf-8"))
    with atomic_write(PAGE, "w") as file:
        file.write(with_it)
    print(f"{PAGE}: written")


if __name__ == "__main__":
    run_command(main)
