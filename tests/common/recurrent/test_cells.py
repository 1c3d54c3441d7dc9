"""Every cell: its equations and gradients."""

from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from common.recurrent import (
    Cell,
    CoRNNCell,
    GRUCell,
    LSTMCell,
    Recurrent,
    SimpleRNNCell,
    cells,
)
from common.recurrent.cells import NAMED
from common.recurrent.fused import STANDARD
from common.recurrent.names import CellName
from tests.common.recurrent.cells import CELLS

every_cell = pytest.mark.parametrize("name", CELLS)
B, X, H = 3, 5, 4


def make(name: str, seed: int = 0) -> Cell:
    torch.manual_seed(seed)
    return CELLS[name](X, H).double()


def random_state(cell: Cell, batch: int = B) -> tuple[Tensor, ...]:
    return tuple(torch.randn(batch, H, dtype=torch.double) for _ in range(cell.state_size))


def step_with(cell: Cell, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    """One step as a function of input, state and parameters, for the numerical derivatives."""
    state, parameters = rest[: cell.state_size], rest[cell.state_size :]
    names = [name for name, _ in cell.named_parameters()]
    named = dict(zip(names, parameters, strict=True))
    return torch.func.functional_call(cell, named, (x, state))


@every_cell
def test_gradients_equal_finite_differences(name):
    cell = make(name)
    x = torch.randn(B, X, dtype=torch.double)
    inputs = [x, *random_state(cell), *(p.detach() for p in cell.parameters())]
    inputs = [t.requires_grad_() for t in inputs]
    assert gradcheck(partial(step_with, cell), inputs)
    assert gradgradcheck(partial(step_with, cell), inputs)


@pytest.mark.parametrize(
    "name, reference",
    [
        ("rnn", nn.RNNCell),
        ("rnn_relu", partial(nn.RNNCell, nonlinearity="relu")),
        ("lstm", nn.LSTMCell),
        ("gru", nn.GRUCell),
    ],
)
def test_a_standard_cell_takes_torchs_weights_and_makes_its_step(name, reference):
    cell = make(name)
    theirs = reference(X, H).double()
    theirs.load_state_dict(cell.state_dict())
    x, state = torch.randn(B, X, dtype=torch.double), random_state(cell)
    expected = theirs(x, state if name == "lstm" else state[0])
    expected = expected if name == "lstm" else (expected,)
    torch.testing.assert_close(cell(x, state), expected)


def test_gru_with_reset_before_is_the_paper_by_hand():
    # One feature, one unit: r, z, n by hand from Cho et al. 2014, eq. 5-8.
    cell = GRUCell(1, 1, reset_after=False).double()
    with torch.no_grad():
        cell.weight_ih.copy_(torch.tensor([[0.5], [-0.25], [2.0]]))
        cell.weight_hh.copy_(torch.tensor([[1.0], [0.75], [-1.5]]))
        cell.bias_ih.copy_(torch.tensor([0.1, 0.2, 0.3]))
        cell.bias_hh.copy_(torch.tensor([0.0, -0.1, 0.4]))
    x, h = torch.tensor([[1.0]]).double(), torch.tensor([[-0.5]]).double()
    r = 1 / (1 + torch.tensor(-(0.5 + 0.1 - 0.5)).double().exp())
    z = 1 / (1 + torch.tensor(-(-0.25 + 0.2 - 0.375 - 0.1)).double().exp())
    n = torch.tanh(2.0 + 0.3 - 1.5 * (r * -0.5) + 0.4)
    expected = (1 - z) * n + z * -0.5
    torch.testing.assert_close(cell(x, (h,))[0].squeeze(), expected)


def test_the_two_grus_differ_only_in_where_reset_acts():
    before, after = make("gru_reset_before"), make("gru")
    x, state = torch.randn(B, X, dtype=torch.double), random_state(before)
    assert not torch.allclose(before(x, state)[0], after(x, state)[0])
    with torch.no_grad():
        # With W_hn diagonal and no bias on it, r * (U h) = U (r * h).
        for cell in (before, after):
            cell.weight_hh[2 * H :] = torch.diag(torch.arange(1.0, H + 1))
            cell.bias_hh[2 * H :] = 0
    torch.testing.assert_close(before(x, state), after(x, state))


def test_layer_norm_lstm_is_the_paper():
    cell = make("layer_norm_lstm")
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()

    def norm(a: Tensor, gain: Tensor, bias: Tensor) -> Tensor:  # Ba et al. 2016, eq. 3-4
        mean = a.mean(dim=1, keepdim=True)
        deviation = ((a - mean) ** 2).mean(dim=1, keepdim=True).add(cell.eps).sqrt()
        return gain * (a - mean) / deviation + bias

    x, (h, c) = torch.randn(B, X, dtype=torch.double), random_state(cell)
    gates = norm(x @ cell.weight_ih.T, cell.gain_ih, cell.bias_ih)  # eq. 20, 21
    gates = gates + norm(h @ cell.weight_hh.T, cell.gain_hh, cell.bias_hh)
    i, f, g, o = gates.split(H, dim=1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)  # eq. 22
    new_h = torch.sigmoid(o) * torch.tanh(norm(new_c, cell.gain_c, cell.bias_c))
    torch.testing.assert_close(cell(x, (h, c)), (new_h, new_c))


def test_layer_norm_lstm_ignores_the_scale_of_its_weights():
    cell, x = make("layer_norm_lstm"), torch.randn(B, X, dtype=torch.double)
    cell.eps = 0.0
    state = random_state(cell)
    expected = cell(x, state)
    with torch.no_grad():
        cell.weight_hh.mul_(7)
    torch.testing.assert_close(cell(x * 3, state), expected)


@every_cell
def test_an_input_may_be_projected_in_parts(name):
    cell = make(name)
    x, state = torch.randn(B, X, dtype=torch.double), random_state(cell)
    left = cell.project(x[:, :2], slice(0, 2))
    right = cell.project(x[:, 2:], slice(2, X), bias=False)
    torch.testing.assert_close(cell.step(left + right, state), cell(x, state))


def test_bad_sizes_and_nonlinearities_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        LSTMCell(0, 3)
    with pytest.raises(ValueError, match="'tanh' or 'relu'"):
        SimpleRNNCell(2, 3, nonlinearity="sigmoid")


@pytest.mark.parametrize("name", get_args(CellName))
def test_every_name_is_a_cell(name):
    network = Recurrent(name, X, H)
    outputs, _ = network(torch.randn(B, 3, X), lengths=[3, 1, 2])
    assert outputs.shape == (B, 3, H)
    assert (network.kernel is None) == (name in NAMED)


def test_every_cell_has_a_name():
    """Or is one of torch's: by its name it runs on the kernels."""
    classes = {getattr(cells, name) for name in cells.__all__ if name.endswith("Cell")}
    standard = {SimpleRNNCell, LSTMCell, GRUCell}
    named = {getattr(cell, "func", cell) for cell in NAMED.values()}
    assert classes - {Cell, cells.LinearCell} == named | standard
    assert {*NAMED, *STANDARD} == {*get_args(CellName)}


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "indrnn", "cornn", "lem", "mgu"])
def test_joint_biases_are_added_by_the_input_product_alone(name):
    cell = CELLS[name](X, H)
    assert cell.joint_bias
    given = torch.cat([torch.zeros(B, H)] * (cell.weight_hh.shape[-1] // H), dim=-1)
    torch.testing.assert_close(
        cell.project(torch.zeros(B, X)), (cell.bias_ih + cell.bias_hh).expand(B, -1)
    )
    assert not cell.recurrent(given).any()
    assert not cell.project(torch.zeros(B, X), bias=False).any()


def test_oscillators_swing_freely():
    """Near rest, each is turned by its phase at every step, and what was read long ago remains."""
    cell = CoRNNCell(2, 8, dt=0.5, gamma=1.0, epsilon=0.0).double()
    phases = torch.linspace(0.2, 2.8, 8, dtype=torch.float64)
    cell.swing_freely_(phases)
    zeros = torch.zeros(1, 8, dtype=torch.float64)
    state, seen = (zeros + 1e-6, zeros), []
    for _ in range(1000):
        state = cell.step(zeros, state)
        seen.append(state[0][0])
    y = torch.stack(seen) / 1e-6
    torch.testing.assert_close(y[2:] + y[:-2], 2 * phases.cos() * y[1:-1])
    assert (y[-100:].abs().amax(0) > 0.9).all()
