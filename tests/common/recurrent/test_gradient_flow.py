"""Gradients through time, in cases that can be computed by hand."""

import pytest
import torch

from common.recurrent import (
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    Recurrent,
    SimpleRNNCell,
)
from common.recurrent.gradient_flow import gradient_flow
from tests.common.recurrent.cells import CELLS

pytestmark = pytest.mark.usefixtures("float64")
T, H = 8, 4


def linear(scale: float, make=lambda: SimpleRNNCell(1, H, nonlinearity="relu")):
    """h' = scale h + x with x = 1 > 0: every ReLU passes, so the network is linear."""
    network = make()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_()
            if "weight_hh" in name:
                parameter.copy_(scale * torch.eye(H))
            if "weight_ih" in name:
                parameter.fill_(1)
    return network


@pytest.mark.parametrize("make", [
    lambda: SimpleRNNCell(1, H, nonlinearity="relu"),
    lambda: Recurrent("rnn_relu", 1, H),
])  # fmt: skip
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_linear_network_scales_the_gradient_once_per_step(make, scale):
    # d sum(h_T) / d h_t = scale ** (T - t) in each of H components.
    norms = gradient_flow(linear(scale, make), torch.ones(3, T, 1))
    expected = H**0.5 * scale ** torch.arange(T - 1, -1, -1.0)
    torch.testing.assert_close(norms, expected)


def test_an_open_forget_gate_keeps_what_a_simple_network_loses():
    torch.manual_seed(0)
    x = torch.randn(4, 30, 3)
    simple, lstm = (Recurrent(cell, 3, 16, initialization="glorot") for cell in ("rnn", "lstm"))
    with torch.no_grad():
        simple.kernel.weight_hh_l0.mul_(0.5)
        lstm.kernel.bias_ih_l0[16:32] = 10
    flow, lstm_flow = gradient_flow(simple, x), gradient_flow(lstm, x)
    assert flow[0] < 1e-6 * flow[-1] and lstm_flow[0] > 0.1 * lstm_flow[-2]


def test_the_loss_may_be_any_function():
    norms = gradient_flow(linear(1.0), torch.ones(1, T, 1), loss=lambda h: 3 * h[:, 0].sum())
    torch.testing.assert_close(norms, torch.full((T,), 3.0))


def test_parameters_and_their_gradients_do_not_change():
    network = Recurrent(LayerNormLSTMCell, 3, H, num_layers=2)
    network.requires_grad_(False)
    with torch.no_grad():
        norms = gradient_flow(network, torch.randn(2, T, 3))
    assert norms.shape == (T,) and (norms > 0).all()
    network = Recurrent(GRUCell, 3, H)
    gradient_flow(network, torch.randn(2, T, 3))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_whole_state_counts():
    # An LSTM's gradient flows through h and c: both together, as a finite difference sees them.
    torch.manual_seed(0)
    cell, x = LSTMCell(2, H).double(), torch.randn(1, 3, 2, dtype=torch.double)
    norms = gradient_flow(cell, x)
    state = cell.initial_state(1, x)
    state = cell(x[:, 1], cell(x[:, 0], state))  # the state after step 2 of 3
    jacobian = torch.autograd.functional.jacobian(
        lambda h, c: cell(x[:, 2], (h, c))[0].sum(), state
    )
    torch.testing.assert_close(norms[1], torch.cat(jacobian).norm())


def test_a_state_of_any_shape_counts():
    class Memory(LSTMCell):
        """An LSTM whose c is stored in tensors (B, 2, 1) and (B,)."""

        def step(self, projected, state):
            h, first, *rest = state
            c = torch.cat([first, torch.stack(rest, 1).unsqueeze(2)], 1).squeeze(2)
            h, c = super().step(projected, (h, c))
            return h, c[:, :2, None], *c[:, 2:].unbind(1)

        def initial_state(self, batch, like):
            rest = (like.new_zeros(batch),) * (H - 2)
            return like.new_zeros(batch, H), like.new_zeros(batch, 2, 1), *rest

    x = torch.randn(3, T, 2)
    torch.manual_seed(1)
    plain = Recurrent(LSTMCell, 2, H, num_layers=2)
    ours = Recurrent(Memory, 2, H, num_layers=2)
    ours.load_state_dict(plain.state_dict())
    torch.testing.assert_close(gradient_flow(ours, x), gradient_flow(plain, x))


@pytest.mark.parametrize("name", CELLS)
def test_of_every_cell(name):
    torch.manual_seed(0)
    network, x = Recurrent(CELLS[name], 2, H, num_layers=2), torch.randn(3, 5, 2)
    flow = gradient_flow(network, x)
    assert flow.shape == (5,) and flow.isfinite().all() and (flow > 0).all()
    one = gradient_flow(CELLS[name](2, H), x)
    assert one.shape == (5,) and (one > 0).all()


def test_errors():
    with pytest.raises(ValueError, match="at least 1"):
        gradient_flow(LSTMCell(2, H), torch.zeros(1, 0, 2))
    with pytest.raises(ValueError, match="bidirectional"):
        gradient_flow(Recurrent("gru", 2, H, bidirectional=True), torch.zeros(1, T, 2))
