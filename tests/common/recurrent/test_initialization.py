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


def test_keras_takes_all_gates_as_one_matrix():
    cell = LSTMCell(X, H)
    initialize_(cell, "keras")
    bound = (6 / (X + 4 * H)) ** 0.5
    assert 0.95 * bound < cell.weight_ih.abs().max() <= bound
    torch.testing.assert_close(cell.weight_hh.T @ cell.weight_hh, torch.eye(H))
    assert (cell.bias_ih[H : 2 * H] == 1).all() and cell.bias_ih.sum() == H


@pytest.mark.parametrize(
    "name, bound, deviation",
    [
        ("glorot_uniform", (6 / (64 + 100)) ** 0.5, (2 / 164) ** 0.5),
        ("glorot_normal", 2 * (2 / 164) ** 0.5 / 0.8796, (2 / 164) ** 0.5),
        ("he_uniform", (6 / 100) ** 0.5, (2 / 100) ** 0.5),
        ("he_normal", 2 * (2 / 100) ** 0.5 / 0.8796, (2 / 100) ** 0.5),
        ("lecun_uniform", (3 / 100) ** 0.5, (1 / 100) ** 0.5),
        ("lecun_normal", 2 * (1 / 100) ** 0.5 / 0.8796, (1 / 100) ** 0.5),
        ("random_uniform", 0.05, 0.05 / 3**0.5),
        ("truncated_normal", 0.1, 0.05 * 0.8796),
        ("xavier_uniform", (6 / (64 + 100)) ** 0.5, (2 / 164) ** 0.5),
        ("uniform", 1.0, 1 / 12**0.5),
    ],
)
def test_initializers_by_the_names_of_keras_and_pytorch(name, bound, deviation):
    cell = GRUCell(100, 64)
    before = cell.weight_hh.detach().clone()
    initialize_(cell, input_weights=name)
    values = cell.weight_ih.detach()
    assert values.abs().max() <= bound * 1.0001
    middle = 0.5 if name == "uniform" else 0.0
    # 19,200 values: the standard error of their mean and deviation is below 1 % of it.
    assert (values.mean() - middle).abs() < 0.05 * deviation
    assert abs(values.std() / deviation - 1) < 0.03
    assert torch.equal(cell.weight_hh, before)


def test_parts_are_initialised_apart():
    network = Recurrent("lstm", X, H)
    initialize_(
        network,
        "glorot",
        recurrent_weights="identity",
        biases=lambda b: b.fill_(0.5),
        forget_bias=2.0,
    )
    for gate in network.kernel.weight_hh_l0.split(H):
        torch.testing.assert_close(gate, torch.eye(H))
    biases = network.kernel.bias_ih_l0.split(H)
    assert [bias[0].item() for bias in biases] == [0.5, 2.0, 0.5, 0.5]
    with pytest.raises(ValueError, match="an initializer is one of glorot_uniform"):
        initialize_(network, biases="nothing")
