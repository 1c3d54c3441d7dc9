"""Initialisation gate by gate, of our cells and of torch's networks."""

import pytest
import torch
from torch import nn

from common.recurrent import (
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    Recurrent,
    SimpleRNNCell,
    initialize_,
)
from common.recurrent.initialization import chrono_
from tests.common.recurrent.cells import CELLS, STANDARD

pytestmark = pytest.mark.usefixtures("float64")
X, H = 24, 16


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", LSTMCell, GRUCell, LayerNormLSTMCell])
def test_orthogonal_gate_by_gate(cell):
    network = Recurrent(cell, X, H, num_layers=2, bidirectional=True, initialization="orthogonal")
    recurrent = [p for name, p in network.named_parameters() if "weight_hh" in name]
    assert len(recurrent) == 4
    for weight in recurrent:
        for gate in weight.split(H):
            torch.testing.assert_close(gate @ gate.T, torch.eye(H))


def test_glorot_bounds_each_gate_by_its_own_fans():
    cell = GRUCell(X, H)
    initialize_(cell, "glorot")
    for weight, fan_in in ((cell.weight_ih, X), (cell.weight_hh, H)):
        bound = (6 / (fan_in + H)) ** 0.5
        assert 0.95 * bound < weight.abs().max() <= bound
    assert (cell.bias_ih == 0).all() and (cell.bias_hh == 0).all()


@pytest.mark.parametrize("make", [nn.LSTM, lambda i, h: Recurrent("lstm", i, h), LSTMCell])
def test_the_forget_gate_starts_open(make):
    network = make(X, H)
    expected = torch.zeros(4 * H)
    expected[H : 2 * H] = 1  # i, f, g, o

    def bias():
        biases = [p for name, p in network.named_parameters() if "bias" in name]
        return biases[0] + biases[1]

    initialize_(network, "glorot")
    assert torch.equal(bias(), expected)
    initialize_(network, "orthogonal", forget_bias=2.5)
    assert torch.equal(bias(), 2.5 * expected)
    initialize_(network, "pytorch", forget_bias=3.0)
    assert (bias()[H : 2 * H] == 3).all() and (bias()[:H] != 0).any()


def test_pytorch_is_pytorchs_default():
    ours, theirs = nn.LSTM(X, H), nn.LSTM(X, H)
    torch.manual_seed(5)
    initialize_(ours, "pytorch")
    torch.manual_seed(5)
    theirs.reset_parameters()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_identity_keeps_a_positive_state():
    cell = SimpleRNNCell(X, H, nonlinearity="relu")
    initialize_(cell, "identity")
    state = (torch.rand(2, H),)
    torch.testing.assert_close(cell(torch.zeros(2, X), state), state)


def test_layer_norm_gains_do_not_change():
    cell = LayerNormLSTMCell(X, H)
    initialize_(cell, "orthogonal")
    assert (cell.gain_hh == 1).all() and (cell.bias_c == 0).all()


def test_every_network_inside_a_module_is_reached():
    model = nn.ModuleDict({"a": Recurrent("gru", X, H), "b": nn.Sequential(nn.RNN(X, H))})
    initialize_(model, "orthogonal")
    for weight in (model["a"].kernel.weight_hh_l0[:H], model["b"][0].weight_hh_l0):
        torch.testing.assert_close(weight @ weight.T, torch.eye(H))


def test_errors():
    with pytest.raises(ValueError, match="one of pytorch, glorot, orthogonal, identity"):
        initialize_(LSTMCell(X, H), "xavier")
    with pytest.raises(ValueError, match="no recurrent cell"):
        initialize_(nn.Linear(X, H), "glorot")
    with pytest.raises(ValueError, match="simple cells"):
        initialize_(LSTMCell(X, H), "identity")


def test_a_network_without_biases_is_initialised():
    network = nn.LSTM(X, H, bias=False)
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(9.0)
    initialize_(network, "orthogonal")
    for gate in network.weight_hh_l0.split(H):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(H), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [n for n, cell in CELLS.items() if cell(1, 1).memory_gates])
def test_chrono_lets_memories_last(name):
    """A gate keeps u / (1 + u) of a memory with 1 <= u <= T - 1: it lasts about u steps."""
    torch.manual_seed(0)
    longest, size = 100, 64
    network = Recurrent(name if name in STANDARD else CELLS[name], 2, size, num_layers=2)
    chrono_(network, longest)
    for cell in network._cells():
        blocks = (cell.bias_ih + (0 if cell.bias_hh is None else cell.bias_hh)).view(-1, size)
        for gate, sign in cell.memory_gates.items():
            lasting = (sign * blocks[gate]).exp()
            assert 1 <= lasting.min() + 1e-9 < 20 and 60 < lasting.max() < longest - 1 + 1e-9


def test_chrono_needs_a_gate():
    with pytest.raises(ValueError, match="no gates"):
        chrono_(Recurrent("rnn", 2, 3), 10)
    with pytest.raises(ValueError, match="at least 2"):
        chrono_(Recurrent("gru", 2, 3), 1)
