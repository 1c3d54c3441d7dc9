"""Weights go to `torch.nn` and Keras and come back; with them, both compute the same."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.recurrent import (
    GRUCell,
    LSTMCell,
    MGUCell,
    Recurrent,
    SimpleRNNCell,
    from_torch,
    keras_weights,
    load_keras_weights_,
    to_torch,
)

B, T, X, H = 2, 4, 3, 5

TORCH = {
    "rnn": nn.RNN,
    "rnn_relu": partial(nn.RNN, nonlinearity="relu"),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}
RESET_BEFORE = partial(GRUCell, reset_after=False)
SHAPES = [
    {},
    {"bidirectional": True},
    {"num_layers": 2},
    {"num_layers": 3, "bidirectional": True, "dropout": 0.2},
]


@pytest.fixture
def inputs() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(B, T, X)


def close(ours: Tensor, theirs: Tensor | np.ndarray) -> None:
    torch.testing.assert_close(ours.cpu(), torch.as_tensor(theirs).cpu(), rtol=1e-4, atol=1e-5)


# -- torch.nn --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize("name", TORCH)
def test_torch_there_and_back(name, options, bias, inputs):
    module = TORCH[name](X, H, bias=bias, **options).eval()
    recurrent = from_torch(module)
    expected = module(inputs.transpose(0, 1))[0].transpose(0, 1)
    close(recurrent(inputs)[0], expected)
    assert not recurrent.training and recurrent.dropout == module.dropout
    again = to_torch(recurrent)
    close(again(inputs)[0], expected)
    assert type(again) is type(module) and again.batch_first and not again.training
    assert again.dropout == module.dropout
    for weight, other in zip(module.parameters(), again.parameters(), strict=True):
        assert torch.equal(weight, other) and weight.data_ptr() != other.data_ptr()


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("rnn", SimpleRNNCell),
        ("rnn_relu", partial(SimpleRNNCell, nonlinearity="relu")),
        ("lstm", LSTMCell),
        ("gru", GRUCell),
    ],
)
def test_own_cells_become_networks_of_torch(name, cell, inputs):
    recurrent = Recurrent(cell, X, H, num_layers=2, bidirectional=True)
    module = to_torch(recurrent)
    close(module(inputs)[0], recurrent(inputs)[0])
    assert from_torch(module).kernel.mode == module.mode


def test_the_type_of_the_weights_stays():
    assert next(from_torch(nn.GRU(X, H).double()).parameters()).dtype == torch.double
    assert next(to_torch(Recurrent("gru", X, H).double()).parameters()).dtype == torch.double


@pytest.mark.parametrize("cell", [MGUCell, RESET_BEFORE])
def test_torch_has_no_such_cell(cell):
    with pytest.raises(ValueError, match="torch.nn has no network of (MGUCell|GRUCell with reset)"):
        to_torch(Recurrent(cell, X, H))


def test_a_projection_has_no_counterpart():
    with pytest.raises(ValueError, match="proj_size=2"):
        from_torch(nn.LSTM(X, H, proj_size=2))


# -- Keras, whose equations are written out --------------------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def simple(x, h, kernel, recurrent, bias):
    h = np.tanh(x @ kernel + bias + h @ recurrent)
    return h, h


def simple_relu(x, h, kernel, recurrent, bias):
    h = np.maximum(x @ kernel + bias + h @ recurrent, 0)
    return h, h


def lstm(x, state, kernel, recurrent, bias):
    h, c = state if isinstance(state, tuple) else (state, state)
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def gru_reset_after(x, h, kernel, recurrent, bias):
    input_bias, recurrent_bias = bias if np.ndim(bias) else (0.0, 0.0)
    x_z, x_r, x_h = np.split(x @ kernel + input_bias, 3, axis=-1)
    r_z, r_r, r_h = np.split(h @ recurrent + recurrent_bias, 3, axis=-1)
    z, r = sigmoid(x_z + r_z), sigmoid(x_r + r_r)
    h = z * h + (1 - z) * np.tanh(x_h + r * r_h)
    return h, h


def gru_reset_before(x, h, kernel, recurrent, bias):
    x_z, x_r, x_h = np.split(x @ kernel + bias, 3, axis=-1)
    u_z, u_r, u_h = np.split(recurrent, 3, axis=1)
    z, r = sigmoid(x_z + h @ u_z), sigmoid(x_r + h @ u_r)
    h = z * h + (1 - z) * np.tanh(x_h + (r * h) @ u_h)
    return h, h


KERAS = {  # our cell, Keras' step, its gates
    "SimpleRNN": ("rnn", simple, 1),
    "SimpleRNN, own": (SimpleRNNCell, simple, 1),
    "SimpleRNN, relu": ("rnn_relu", simple_relu, 1),
    "LSTM": ("lstm", lstm, 4),
    "LSTM, own": (LSTMCell, lstm, 4),
    "GRU": ("gru", gru_reset_after, 3),
    "GRU, own": (GRUCell, gru_reset_after, 3),
    "GRU, reset_after=False": (RESET_BEFORE, gru_reset_before, 3),
}


def run_keras(step, weights: list[list[np.ndarray]], directions: int, x: np.ndarray) -> np.ndarray:
    """Stacked layers (Bidirectional, merge_mode="concat") that return sequences. x: (B, T, X)."""
    for layer in weights:
        each = len(layer) // directions
        outputs = []
        for way in range(directions):
            kernel, recurrent, *biases = layer[way * each : (way + 1) * each]
            bias = biases[0] if biases else 0.0
            state, found = np.zeros((len(x), len(recurrent))), []
            for t in range(x.shape[1])[:: -1 if way else 1]:
                output, state = step(x[:, t], state, kernel, recurrent, bias)
                found.append(output)
            outputs.append(np.stack(found[:: -1 if way else 1], axis=1))
        x = np.concatenate(outputs, axis=2)
    return x


def random_keras_weights(
    gates: int, layers: int, directions: int, two_biases: bool
) -> list[list[np.ndarray]]:
    random = np.random.default_rng(0)
    weights, width = [], X
    for _ in range(layers):
        shapes = [(width, gates * H), (H, gates * H), (2, 3 * H) if two_biases else (gates * H,)]
        weights.append([random.normal(0, 0.5, shape) for shape in shapes * directions])
        width = directions * H
    return weights


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("name", KERAS)
def test_keras_computes_the_same_with_our_weights(name, layers, directions, bias, inputs):
    cell, step, _ = KERAS[name]
    if not isinstance(cell, str):
        cell = partial(cell, bias=bias)
    recurrent = Recurrent(cell, X, H, num_layers=layers, bidirectional=directions == 2, bias=bias)
    weights = keras_weights(recurrent)
    assert len(weights) == layers and len(weights[0]) == directions * (3 if bias else 2)
    close(
        recurrent(inputs)[0], run_keras(step, weights, directions, inputs.cpu().numpy()).astype("f")
    )
    for layer in weights:  # copies
        for array in layer:
            array[:] = 0
    assert recurrent(inputs)[0].any()


@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("name", KERAS)
def test_we_compute_the_same_with_weights_of_keras(name, layers, directions, inputs):
    cell, step, gates = KERAS[name]
    weights = random_keras_weights(gates, layers, directions, step is gru_reset_after)
    recurrent = Recurrent(cell, X, H, num_layers=layers, bidirectional=directions == 2).double()
    load_keras_weights_(recurrent, weights)
    expected = run_keras(step, weights, directions, inputs.double().cpu().numpy())
    torch.testing.assert_close(recurrent(inputs.double())[0].cpu(), torch.from_numpy(expected))
    for ours, theirs in zip(keras_weights(recurrent), weights, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_weights_that_do_not_fit_change_nothing():
    recurrent = Recurrent("lstm", X, H, num_layers=2)
    before = {name: value.clone() for name, value in recurrent.state_dict().items()}
    weights = keras_weights(recurrent)
    for wrong, message in (
        (weights[:1], "each of the 2 layers, not 1"),
        ([weights[0], weights[1][:2]], r"layer 1 has arrays of the shapes .*\(20,\).*, not \[\("),
        ([weights[0], [each.T for each in weights[1]]], r"layer 1 .*, not \[\(20, 5\)"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            load_keras_weights_(recurrent, wrong)
        assert "\n" not in str(error.value)
    for name, value in recurrent.state_dict().items():
        assert torch.equal(value, before[name])


def test_keras_has_no_such_layer():
    with pytest.raises(ValueError, match="Keras has no layer of MGUCell"):
        keras_weights(Recurrent(MGUCell, X, H))


def test_weights_that_are_computed_are_not_loaded():
    recurrent = Recurrent("gru", X, H)
    weights = keras_weights(recurrent)
    nn.utils.parametrizations.weight_norm(recurrent.kernel, "weight_hh_l0")
    with pytest.raises(ValueError, match="computed from others"):
        load_keras_weights_(recurrent, weights)


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_size": [4, 3]},
        {"num_layers": 2, "connections": "residual"},
        {"num_layers": 2, "connections": "dense"},
        {"bidirectional": True, "merge": "sum"},
        {"go_backwards": True},
        {"zoneout": 0.1},
    ],
)
def test_a_network_that_torch_does_not_have_is_refused(options):
    with pytest.raises(ValueError, match="torch.nn has no network"):
        to_torch(Recurrent("gru", 3, **{"hidden_size": 4} | options))
