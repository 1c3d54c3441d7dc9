"""The equations of each cell, written out with plain tensors; those of torch's are in test_cells."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from common.recurrent import Cell, HGRNCell, IndRNNCell, JANETCell, MinLSTMCell, Recurrent
from tests.common.recurrent.cells import CELLS

pytestmark = pytest.mark.usefixtures("float64")
B, X, H = 3, 5, 4


def affine(cell: Cell, x: Tensor, *hidden: Tensor) -> list[Tensor]:
    """W x + b and U h + b of each gate: for each gate, the part of x and, if any, that of h."""
    parts = list((x @ cell.weight_ih.T + cell.bias_ih).split(H, dim=1))
    if hidden:
        of_hidden = torch.cat(hidden, dim=1) @ cell.weight_hh.T + cell.bias_hh
        parts += of_hidden.split(H, dim=1)
    return parts


def norm(a: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Tensor:
    mean = a.mean(dim=1, keepdim=True)
    return gain * (a - mean) / ((a - mean).square().mean(dim=1, keepdim=True) + eps).sqrt() + bias


def layer_norm_gru(cell, x, h):
    two = slice(0, 2 * H), slice(2 * H, 3 * H)
    of_x, of_h = x @ cell.weight_ih.T, h @ cell.weight_hh.T
    (gates_x, n_x), (gates_h, n_h) = (
        [norm(values[:, s], gain[s], bias[s], cell.eps) for s in two]
        for values, gain, bias in (
            (of_x, cell.gain_ih, cell.bias_ih),
            (of_h, cell.gain_hh, cell.bias_hh),
        )
    )
    r, z = torch.sigmoid(gates_x + gates_h).split(H, dim=1)
    return ((1 - z) * torch.tanh(n_x + r * n_h) + z * h,)


def peephole_lstm(cell, x, h, c):
    xi, xf, xg, xo, hi, hf, hg, ho = affine(cell, x, h)
    p_i, p_f, p_o = cell.weight_ch.split(H)
    i, f = torch.sigmoid(xi + hi + p_i * c), torch.sigmoid(xf + hf + p_f * c)
    new = f * c + i * torch.tanh(xg + hg)
    return torch.sigmoid(xo + ho + p_o * new) * torch.tanh(new), new


def coupled_lstm(cell, x, h, c):
    xf, xg, xo, hf, hg, ho = affine(cell, x, h)
    f = torch.sigmoid(xf + hf)
    new = f * c + (1 - f) * torch.tanh(xg + hg)
    return torch.sigmoid(xo + ho) * torch.tanh(new), new


def janet(cell, x, h):
    xs, xg, hs, hg = affine(cell, x, h)
    s = xs + hs
    return (torch.sigmoid(s) * h + (1 - torch.sigmoid(s - 1.0)) * torch.tanh(xg + hg),)


def mgu(cell, x, h):
    xf, xn, hf, _ = affine(cell, x, h)
    f = torch.sigmoid(xf + hf)
    n = torch.tanh(xn + (f * h) @ cell.weight_hh[H:].T + cell.bias_hh[H:])
    return ((1 - f) * h + f * n,)


def of_the_readme(cell, x, h):
    xc, xg, hc, hg = affine(cell, x, h)
    g = torch.sigmoid(xg + hg)
    return (g * h + (1 - g) * torch.tanh(xc + hc),)


def indrnn(cell, x, h):
    return ((x @ cell.weight_ih.T + cell.bias_ih + cell.weight_hh * h + cell.bias_hh).clamp(min=0),)


def cornn(cell, x, y, z):
    of_x, of_state = affine(cell, x, y, z)
    force = torch.tanh(of_x + of_state)
    new_z = z + 0.042 * force - 0.042 * 2.7 * y - 0.042 * 4.7 * z
    return y + 0.042 * new_z, new_z


def lem(cell, x, y, z):
    x1, x2, xz, xy, h1, h2, hz, _ = affine(cell, x, y)
    first, second = torch.sigmoid(x1 + h1), torch.sigmoid(x2 + h2)
    new_z = (1 - first) * z + first * torch.tanh(xz + hz)
    hy = new_z @ cell.weight_hh[3 * H :].T + cell.bias_hh[3 * H :]
    return (1 - second) * y + second * torch.tanh(xy + hy), new_z


def positive(a: Tensor) -> Tensor:
    return (a >= 0) * (a + 0.5) + (a < 0) * torch.sigmoid(a)


def min_gru(cell, x, h):
    z, n = affine(cell, x)
    z = torch.sigmoid(z)
    return ((1 - z) * h + z * positive(n),)


def min_lstm(cell, x, h):
    f, i, n = affine(cell, x)
    f, i = torch.sigmoid(f), torch.sigmoid(i)
    return (f / (f + i) * h + i / (f + i) * positive(n),)


def hgrn(cell, x, _, h):
    f, n, o = affine(cell, x)
    f = 0.25 + 0.75 * torch.sigmoid(f)
    h = f * h + (1 - f) * n * torch.sigmoid(n)
    return torch.sigmoid(o) * h, h


EQUATIONS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    each.__name__: each
    for each in (
        layer_norm_gru,
        peephole_lstm,
        coupled_lstm,
        janet,
        mgu,
        of_the_readme,
        indrnn,
        cornn,
        lem,
        min_gru,
        min_lstm,
        hgrn,
    )
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_three_steps(name):
    torch.manual_seed(0)
    network = Recurrent(CELLS[name], X, H)
    cell, x = network.cells["l0"], torch.randn(B, 3, X)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    state = tuple(torch.randn(B, H) for _ in range(cell.state_size))
    outputs, (last,) = network(x, state=(state,))
    for x_t, output in zip(x.unbind(1), outputs.unbind(1), strict=True):
        state = EQUATIONS[name](cell, x_t, *state)
        torch.testing.assert_close(output, state[0])
    torch.testing.assert_close(last, state)


def test_every_cell_has_its_equations_written_out():
    by_torch = {"rnn", "rnn_relu", "lstm", "gru"}
    assert CELLS.keys() - EQUATIONS.keys() == by_torch | {"gru_reset_before", "layer_norm_lstm"}


@pytest.mark.parametrize("name", [name for name in CELLS if not name.startswith("layer_norm")])
def test_without_biases(name):
    cell = CELLS[name](X, H, bias=False)
    assert not any("bias" in each for each, _ in cell.named_parameters())
    state = tuple(torch.randn(B, H) for _ in range(cell.state_size))
    x = torch.randn(B, X)
    found = cell(x, state)
    other = CELLS[name](X, H)
    other.load_state_dict(cell.state_dict(), strict=False)
    with torch.no_grad():
        for each in (other.bias_ih, other.bias_hh):
            if each is not None:
                each.zero_()
    torch.testing.assert_close(found, other(x, state))


@pytest.mark.parametrize("scheme", ["pytorch", "glorot", "orthogonal"])
@pytest.mark.parametrize("name", EQUATIONS)
def test_every_cell_is_initialised(name, scheme):
    network = Recurrent(CELLS[name], X, H, initialization=scheme)
    outputs, _ = network(torch.randn(B, 3, X))
    assert outputs.isfinite().all() and outputs.abs().sum() > 0


def test_a_diagonal_is_initialised_as_one():
    network = Recurrent(IndRNNCell, X, H, initialization="identity")
    assert torch.equal(network.cells["l0"].weight_hh, torch.ones(H))
    network = Recurrent(CELLS["cornn"], X, H, initialization="orthogonal")
    for block in network.cells["l0"].weight_hh.split(H, dim=1):
        torch.testing.assert_close(block @ block.T, torch.eye(H))
    with pytest.raises(ValueError, match="identity is for simple cells"):
        Recurrent(CELLS["min_gru"], X, H, initialization="identity")


def test_an_open_forget_gate_keeps_the_memory():
    for name in ("coupled_lstm", "janet", "hgrn"):
        cell = CELLS[name](X, H)
        rows = slice(cell.forget_gate * H, (cell.forget_gate + 1) * H)
        with torch.no_grad():
            cell.bias_ih[rows] = 100.0
        state = tuple(torch.randn(B, H) for _ in range(cell.state_size))
        torch.testing.assert_close(cell(torch.randn(B, X), state)[-1], state[-1])


def test_shut_gates_of_a_minimal_lstm_share_out_the_memory():
    cell = MinLSTMCell(1, 1)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias_ih.copy_(torch.tensor([-2000.0, -2000.0, 1.5]))  # both gates are 0 in float64
    (hidden,) = cell(torch.zeros(1, 1), (torch.ones(1, 1),))
    torch.testing.assert_close(hidden, torch.full((1, 1), 1.5))  # half of 1 and half of 2


def test_what_a_cell_refuses():
    with pytest.raises(ValueError, match="lower_bound"):
        HGRNCell(X, H, lower_bound=1.0)
    with pytest.raises(AssertionError, match="no recurrent product"):
        MinLSTMCell(X, H).recurrent(torch.zeros(B, H))


def test_janet_forgets_as_much_as_it_writes_without_beta():
    cell = JANETCell(X, H, beta=0.0)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias_ih.zero_()
        cell.weight_hh.zero_()
        cell.bias_hh.copy_(F.pad(torch.zeros(H), (0, H), value=30.0))
    hidden = torch.randn(B, H)
    torch.testing.assert_close(cell(torch.zeros(B, X), (hidden,))[0], hidden / 2 + 0.5)
