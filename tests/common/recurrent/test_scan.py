"""Our loop over time: what it computes, and how few products it needs for that."""

from collections import Counter
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from common.recurrent import (
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    Padding,
    Recurrent,
    SimpleRNNCell,
)
from common.recurrent.scan import scan

CELLS = {
    "tanh": SimpleRNNCell,
    "relu": partial(SimpleRNNCell, nonlinearity="relu"),
    "lstm": LSTMCell,
    "gru": GRUCell,
    "gru_reset_before": partial(GRUCell, reset_after=False),
    "layer_norm_lstm": LayerNormLSTMCell,
}
every_cell = pytest.mark.parametrize("name", CELLS)
B, T, X, H = 3, 6, 5, 4


class Products(TorchDispatchMode):
    """Counts matrix products by the shapes that they multiply."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[tuple] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            left, right = args[-2:]
            self.shapes[tuple(left.shape), tuple(right.shape)] += 1
        elif function.namespace == "mkldnn":
            left, right = args[0].flatten(0, -2), args[1].t()
            self.shapes[tuple(left.shape), tuple(right.shape)] += 1
        return function(*args, **(kwargs or {}))


@every_cell
def test_equals_the_steps_one_by_one(name):
    torch.manual_seed(0)
    cell = CELLS[name](X, H).double()
    x = torch.randn(T, B, X, dtype=torch.double)
    state = cell.initial_state(B, x)
    expected = []
    for x_t in x:
        state = cell(x_t, state)
        expected.append(state[0])
    outputs, last = scan(cell, x)
    torch.testing.assert_close(outputs, torch.stack(expected))
    torch.testing.assert_close(last, state)


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_deferred_gradients_equal_the_ordinary_ones(name, reverse):
    torch.manual_seed(0)
    cell = CELLS[name](X, H).double()
    x = torch.randn(T, B, X, dtype=torch.double, requires_grad=True)
    padding = Padding.of(torch.tensor([6, 2, 4]), B, T, x.device)
    results = []
    for defer in (True, False):
        outputs, last = scan(
            cell, padding.clear(x), padding=padding, reverse=reverse, defer_weight_grad=defer
        )
        loss = outputs.pow(2).sum() + sum(part.sin().sum() for part in last)
        results.append(torch.autograd.grad(loss, [x, *cell.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-12)


def test_one_input_product_and_one_of_each_weight_gradient():
    cell = GRUCell(X, H)
    x = torch.randn(T, B, X, requires_grad=True)
    with Products() as forward:
        outputs, _ = scan(cell, x)
    assert forward.shapes == {((T * B, X), (X, 3 * H)): 1, ((B, H), (H, 3 * H)): T}
    with Products() as backward:
        outputs.sum().backward()
    assert backward.shapes == {
        ((3 * H, T * B), (T * B, X)): 1,  # dW_ih
        ((3 * H, T * B), (T * B, H)): 1,  # dW_hh
        ((T * B, 3 * H), (3 * H, X)): 1,  # dx
        ((B, 3 * H), (3 * H, H)): T - 1,  # dh: the first state wants none
    }


def test_a_hand_written_decoder_loop_defers_the_same_way():
    # Input feeding in two layers: words projected before the loop, what was read added per step.
    network = Recurrent("gru", X + H, H, num_layers=2)
    words, read = torch.randn(T, B, X), torch.randn(B, H)
    steps, columns = network.deferred(), slice(X, X + H)
    projected = network.project(words, slice(0, X))
    state = network.initial_state(B, words)
    for projected_t in projected:
        fed = steps.project(read, columns, bias=False)
        output, state = steps.step_projected(projected_t + fed, state)
        read = output.tanh()
    with Products() as backward:
        output.sum().backward()
    of_weights: Counter[tuple] = Counter()
    for ((left, inner), (_, right)), count in backward.shapes.items():
        if inner == T * B:
            of_weights[tuple(sorted((left, right)))] += count
    # dW_ih for the words; then for what was read, for the layer above, and W_hh of both layers.
    assert of_weights == {(X, 3 * H): 1, (H, 3 * H): 4}


@every_cell
def test_gradients_through_time_equal_finite_differences(name):
    torch.manual_seed(0)
    cell = CELLS[name](2, 2).double()
    x = torch.randn(3, 2, 2, dtype=torch.double, requires_grad=True)
    state = tuple(
        torch.randn(2, 2, dtype=torch.double, requires_grad=True) for _ in range(cell.state_size)
    )
    padding = Padding.of(torch.tensor([3, 1]), 2, 3, x.device)

    def run(x, weight, *state, defer):
        cell._parameters["weight_hh"] = weight
        outputs, last = scan(cell, x, state, padding=padding, defer_weight_grad=defer)
        return outputs, *last

    weight = torch.randn_like(cell.weight_hh).requires_grad_()
    for defer in (True, False):
        assert gradcheck(partial(run, defer=defer), (x, weight, *state))
        assert gradgradcheck(partial(run, defer=defer), (x, weight, *state))


def test_without_gradients_nothing_is_kept():
    with torch.no_grad():
        outputs, last = scan(LSTMCell(X, H), torch.randn(T, B, X))
    assert not outputs.requires_grad and not last[0].requires_grad


def test_no_steps_leave_the_state():
    cell = LSTMCell(X, H)
    state = tuple(torch.randn(B, H) for _ in range(2))
    outputs, last = scan(cell, torch.randn(0, B, X), state)
    assert outputs.shape == (0, B, H)
    torch.testing.assert_close(last, state, rtol=0, atol=0)
