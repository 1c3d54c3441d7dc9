"""The loop of linear cells equals that of any cell, however it is cut into chunks."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from common.recurrent import Padding, elementwise
from common.recurrent.scan import _unrolled
from tests.common.recurrent.cells import CELLS

pytestmark = pytest.mark.usefixtures("float64")
B, T, X, H = 3, 7, 5, 4
LINEAR = [name for name in CELLS if isinstance(CELLS[name](1, 1), elementwise.LinearCell)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [7, 0, 4]], ids=["whole", "padded"])
@pytest.mark.parametrize("steps", [1, 3, 7])
@pytest.mark.parametrize("name", LINEAR)
def test_it_equals_the_loop_of_any_cell(name, steps, lengths, reverse, monkeypatch):
    torch.manual_seed(0)
    cell = CELLS[name](X, H)
    monkeypatch.setattr(elementwise, "CHUNK", steps * B * cell.gates * H)
    inputs = torch.randn(T, B, X)
    padding = Padding.of(lengths, B, T, inputs.device)
    state = tuple(torch.randn(B, H, requires_grad=True) for _ in range(cell.state_size))
    found = []
    for unroll, values in (
        (elementwise.unroll_linear, inputs),
        (_unrolled, cell.project(inputs)),
    ):
        outputs, last = unroll(cell, values, state, padding, reverse)
        if padding is not None:
            outputs = padding.clear(outputs)
        total = outputs.square().sum() + sum(part.sin().sum() for part in last)
        leaves = [state[-1], cell.weight_ih, cell.bias_ih]
        found.append((outputs, *last, *torch.autograd.grad(total, leaves)))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("reverse", [False, True])
def test_its_first_and_second_derivatives(reverse):
    torch.manual_seed(0)
    values = [torch.rand(T, 2, 2), torch.randn(T, 2, 2), torch.randn(2, 2)]
    leaves = [value.requires_grad_() for value in values]

    def run(*values):
        return elementwise._LinearRecurrence.apply(*values, reverse)

    assert gradcheck(run, leaves)
    assert gradgradcheck(run, leaves)
