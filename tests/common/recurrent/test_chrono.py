"""Gates that begin with long memories."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from common.recurrent import GRUCell, LSTMCell, Recurrent
from common.recurrent.chrono import chrono_
from tests.common.recurrent.cells import CELLS, STANDARD

pytestmark = pytest.mark.usefixtures("float64")
LONGEST, SIZE = 100, 64


@pytest.mark.parametrize("name", [n for n, cell in CELLS.items() if cell(1, 1).memory_gates])
def test_a_memory_lasts_up_to_so_many_steps(name):
    """A gate keeps u / (1 + u) of a memory with 1 <= u <= T - 1."""
    torch.manual_seed(0)
    network = Recurrent(name if name in STANDARD else CELLS[name], 2, SIZE, num_layers=2)
    chrono_(network, LONGEST)
    for cell in network._cells():
        blocks = (cell.bias_ih + (0 if cell.bias_hh is None else cell.bias_hh)).view(-1, SIZE)
        for gate, sign in cell.memory_gates.items():
            lasting = (sign * blocks[gate]).exp()
            assert 1 <= lasting.min() + 1e-9 < 20 and 60 < lasting.max() < LONGEST - 1 + 1e-9


@pytest.mark.parametrize("cell, kernel", [(LSTMCell, nn.LSTM), (GRUCell, nn.GRU)])
def test_networks_of_torch_have_the_gates_of_our_cells(cell, kernel):
    ours, theirs = cell(2, SIZE), kernel(2, SIZE)
    for module in (ours, theirs):
        torch.manual_seed(0)
        chrono_(module, LONGEST)
    for gate in cell.memory_gates:
        rows = slice(gate * SIZE, (gate + 1) * SIZE)
        torch.testing.assert_close(ours.bias_ih[rows], theirs.bias_ih_l0[rows])
        assert not theirs.bias_hh_l0[rows].any()


def test_what_has_no_such_gate_is_refused():
    with pytest.raises(ValueError, match="no gates"):
        chrono_(Recurrent("rnn", 2, 3), 10)
    with pytest.raises(ValueError, match="no gates"):
        chrono_(nn.GRU(2, 3, bias=False), 10)
    with pytest.raises(ValueError, match="at least 2"):
        chrono_(Recurrent("gru", 2, 3), 1)
