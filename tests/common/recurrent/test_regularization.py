"""Dropout inside the recurrence: what is dropped, for how long, and that evaluation drops nothing."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from common.recurrent import Cell, GRUCell, LSTMCell, Recurrent
from tests.common.recurrent.test_layer import NETWORKS, B, H, T, X, every_cell, inputs, make

OPTIONS = [
    {"input_dropout": 0.4},
    {"recurrent_dropout": 0.4},
    {"weight_dropout": 0.4},
    {"zoneout": 0.4},
    {"input_dropout": 0.3, "recurrent_dropout": 0.3, "weight_dropout": 0.3, "zoneout": 0.2},
]
LINEAR = ("min_gru", "min_lstm", "hgrn")


def usable(name: str, options: dict) -> dict:
    """The options that a cell has: a linear one has no recurrent weights."""
    without = ("recurrent_dropout", "weight_dropout") if name in LINEAR else ()
    return {key: value for key, value in options.items() if key not in without}


def seeded(network: Recurrent, x: Tensor, **said) -> Tensor:
    torch.manual_seed(7)
    return network(x, **said)[0]


@every_cell
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options))
def test_it_is_drawn_in_training_and_reaches_every_gradient(name, options):
    options = usable(name, options) or {"zoneout": 0.1}
    network = make(name, num_layers=2, **options)
    x, lengths = inputs(), torch.tensor([3, 7, 1, 5])
    drawn = seeded(network, x, lengths=lengths)
    torch.testing.assert_close(seeded(network, x, lengths=lengths), drawn, rtol=0, atol=0)
    assert not torch.allclose(network(x, lengths)[0], drawn)
    assert (drawn[0, 3:] == 0).all()
    torch.manual_seed(7)
    network(x, lengths)[0].square().sum().backward()
    weights = {n: p for n, p in network.named_parameters() if "gain" not in n}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights.values())


@every_cell
def test_evaluation_drops_nothing(name):
    options = usable(name, {"input_dropout": 0.3, "recurrent_dropout": 0.3, "weight_dropout": 0.3})
    network, plain = make(name, num_layers=2, **options), make(name, num_layers=2)
    network.eval(), plain.eval()
    torch.testing.assert_close(network(inputs()), plain(inputs()), rtol=0, atol=0)


@every_cell
def test_gradients_equal_finite_differences(name):
    options = {"recurrent_dropout": 0.3, "weight_dropout": 0.3, "zoneout": 0.3}
    torch.manual_seed(0)
    network = Recurrent(NETWORKS[name], 2, 2, **usable(name, options)).double()
    x = torch.randn(2, 3, 2, dtype=torch.double, requires_grad=True)

    def loss(x: Tensor, *parameters: Tensor) -> Tensor:
        torch.manual_seed(3)
        named = dict(zip(dict(network.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(network, named, (x,))[0].sin().sum()

    assert gradcheck(loss, [x, *network.parameters()])


# -- recurrent dropout -------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", LSTMCell])
def test_each_gate_of_an_lstm_has_its_own_mask_for_all_steps(cell):
    torch.manual_seed(0)
    network, x = Recurrent(cell, X, H, recurrent_dropout=0.5).double(), inputs()
    outputs = seeded(network, x)
    torch.manual_seed(7)
    masks = [F.dropout(torch.ones(B, H, dtype=torch.double), 0.5) for _ in range(4)]
    weight_ih, weight_hh, bias_ih, bias_hh = network.parameters()
    h = c = torch.zeros(B, H, dtype=torch.double)
    for x_t, expected in zip(x.unbind(1), outputs.unbind(1), strict=True):
        gates = x_t @ weight_ih.T + bias_ih + bias_hh
        products = [(h * m) @ u.T for m, u in zip(masks, weight_hh.split(H), strict=True)]
        i, f, g, o = (gates + torch.cat(products, dim=1)).split(H, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        torch.testing.assert_close(h, expected)


def test_a_reset_gate_before_the_product_is_dropped_with_it():
    torch.manual_seed(0)
    network = Recurrent(partial(GRUCell, reset_after=False), X, H, recurrent_dropout=0.5).double()
    x = inputs()
    outputs = seeded(network, x)
    torch.manual_seed(7)
    of_r, of_z, of_n = (F.dropout(torch.ones(B, H, dtype=torch.double), 0.5) for _ in range(3))
    weight_ih, weight_hh, bias_ih, bias_hh = network.parameters()
    u_r, u_z, u_n = weight_hh.split(H)
    h = torch.zeros(B, H, dtype=torch.double)
    for x_t, expected in zip(x.unbind(1), outputs.unbind(1), strict=True):
        a_r, a_z, a_n = (x_t @ weight_ih.T + bias_ih + bias_hh).split(H, dim=1)
        r, z = (a_r + (h * of_r) @ u_r.T).sigmoid(), (a_z + (h * of_z) @ u_z.T).sigmoid()
        n = (a_n + (r * h * of_n) @ u_n.T).tanh()
        h = (1 - z) * n + z * h
        torch.testing.assert_close(h, expected)


class Unreached(Cell):
    """A cell that multiplies its state by weights of its own."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.product = nn.Linear(hidden_size, hidden_size)

    def step(self, projected, state):
        return ((projected + self.product(state[0])).tanh(),)


def test_a_cell_that_it_would_not_reach_is_refused():
    with pytest.raises(ValueError, match="Unreached does not multiply its state by `recurrent`"):
        Recurrent(Unreached, X, H, recurrent_dropout=0.1)
    with pytest.raises(ValueError, match="MinGRUCell has no recurrent weights"):
        Recurrent(NETWORKS["min_gru"], X, H, weight_dropout=0.1)
    with pytest.raises(ValueError, match="MinGRUCell does not multiply"):
        Recurrent(NETWORKS["min_gru"], X, H, recurrent_dropout=0.1)


# -- weights, inputs, state --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gru", "scan_gru", "layer_norm_lstm", "indrnn", "cornn"])
def test_dropped_weights_are_those_of_a_network_without_them(name):
    network, dropped = make(name, weight_dropout=0.5), make(name)
    x = inputs()
    outputs = seeded(network, x)
    weight = next(p for n, p in dropped.named_parameters() if "weight_hh" in n)
    before = weight.detach().clone()
    torch.manual_seed(7)
    with torch.no_grad():
        weight.copy_(F.dropout(weight, 0.5))
    gone = (weight == 0) & (before != 0)
    assert gone.any()
    torch.testing.assert_close(outputs, dropped(x)[0])
    outputs.square().sum().backward()
    of_weights = next(p for n, p in network.named_parameters() if "weight_hh" in n)
    assert (of_weights.grad[gone] == 0).all() and (of_weights.grad[~gone] != 0).any()


@pytest.mark.parametrize("name", ["gru", "lem"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_inputs_of_every_layer_are_dropped_alike_at_all_steps(name, bidirectional):
    options = {"num_layers": 2, "bidirectional": bidirectional}
    network, x = make(name, input_dropout=0.5, **options), inputs()
    outputs = seeded(network, x)
    torch.manual_seed(7)
    width = 2 * H if bidirectional else H
    lower, upper = (F.dropout(torch.ones(B, n, dtype=torch.double), 0.5) for n in (X, width))
    plain = make(name, **options)
    between = []
    for layer, values in ((0, x * lower.unsqueeze(1)), (1, None)):
        single = Recurrent(
            NETWORKS[name], X if layer == 0 else width, H, bidirectional=bidirectional
        )
        single = single.double()
        weights = {
            key.replace(f"l{layer}", "l0"): v
            for key, v in plain.state_dict().items()
            if f"l{layer}" in key
        }
        single.load_state_dict(weights)
        values = between[0] * upper.unsqueeze(1) if values is None else values
        between.append(single(values)[0])
    torch.testing.assert_close(outputs, between[1])


@pytest.mark.parametrize("zoneout", [0.5, (0.0, 0.7), (0.7, 0.0)])
def test_zoneout_keeps_units_of_h_and_of_c_apart(zoneout):
    network, x = make("lstm", zoneout=zoneout), inputs()
    p_h, p_c = (zoneout, zoneout) if isinstance(zoneout, float) else zoneout
    cell = make("scan_lstm").cells["l0"]
    torch.manual_seed(7)
    h = c = torch.zeros(B, H, dtype=torch.double)
    expected = []
    for x_t in x.unbind(1):
        new_h, new_c = cell(x_t, (h, c))
        h = torch.where(torch.rand_like(h) < p_h, h, new_h) if p_h else new_h
        c = torch.where(torch.rand_like(c) < p_c, c, new_c) if p_c else new_c
        expected.append(h)
    torch.testing.assert_close(seeded(network, x), torch.stack(expected, dim=1))

    network.eval()
    h = c = torch.zeros(B, H, dtype=torch.double)
    for x_t, found in zip(x.unbind(1), network(x)[0].unbind(1), strict=True):
        new_h, new_c = cell(x_t, (h, c))
        h, c = p_h * h + (1 - p_h) * new_h, p_c * c + (1 - p_c) * new_c
        torch.testing.assert_close(found, h)


@every_cell
def test_a_hand_written_loop_drops_the_same_at_all_steps(name):
    """By `deferred`: as the whole pass, whose numbers are drawn in the same order."""
    options = usable(name, {"input_dropout": 0.3, "recurrent_dropout": 0.3, "weight_dropout": 0.3})
    network, x = make(name, **options), inputs()
    whole = seeded(network, x)
    whole.square().sum().backward()
    expected = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    torch.manual_seed(7)
    view, state, outputs = network.deferred(), network.initial_state(B, x), []
    for time in range(T):
        output, state = view.step(x[:, time], state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, dim=1), whole)
    torch.stack(outputs, dim=1).square().sum().backward()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
