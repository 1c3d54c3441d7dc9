"""An example: a new cell is a class with a step, and `Recurrent` does the rest."""

from __future__ import annotations

import pytest
import torch

from common.recurrent import Cell, Recurrent
from common.recurrent.state import state_tensors

pytestmark = pytest.mark.usefixtures("float64")


class FastWeights(Cell):
    """A cell with a memory (B, H, H) and a count of steps (B,): h reads what outer products wrote.

        A' = A / 2 + h h^T / H        h' = tanh(W x + U h + A' h)

    After Ba et al. 2016, "Using fast weights to attend to the recent past".
    """

    def step(self, projected, state):
        hidden, memory, steps = state
        memory = memory / 2 + hidden.unsqueeze(2) * hidden.unsqueeze(1) / self.hidden_size
        read = torch.bmm(memory, hidden.unsqueeze(2)).squeeze(2)
        return (projected + self.recurrent(hidden) + read).tanh(), memory, steps + 1

    def initial_state(self, batch, like):
        size = self.hidden_size
        shapes = (batch, size), (batch, size, size), (batch,)
        return tuple(like.new_zeros(shape) for shape in shapes)


def test_its_equations():
    network = Recurrent(FastWeights, 5, 6)
    cell, x = network.cells["l0"], torch.randn(3, 4, 5)
    h, memory = torch.zeros(3, 6), torch.zeros(3, 6, 6)
    for x_t in x.unbind(1):
        memory = memory / 2 + torch.einsum("bi,bj->bij", h, h) / 6
        total = x_t @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
        h = (total + torch.einsum("bij,bj->bi", memory, h)).tanh()
    outputs, state = network(x)
    torch.testing.assert_close(outputs[:, -1], h)
    torch.testing.assert_close(state, ((h, memory, torch.full((3,), 4.0)),))


def test_layers_directions_padding_and_gradients():
    network = Recurrent(FastWeights, 5, 6, num_layers=2, bidirectional=True)
    x, lengths = torch.randn(3, 4, 5), torch.tensor([4, 1, 3])
    outputs, state = network(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, its_state = network(x[row : row + 1, :length])
        torch.testing.assert_close(outputs[row : row + 1, :length], alone)
        found = [part[row : row + 1] for part in state_tensors(state)]
        torch.testing.assert_close(found, list(state_tensors(its_state)))
    outputs.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
