"""Our loop over time: its results, its gradients, and how few products it needs."""

from collections import Counter

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from common.recurrent import GRUCell, LSTMCell, Padding, Recurrent
from common.recurrent.scan import scan
from tests.common.recurrent.cells import CELLS

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


class Sums(TorchDispatchMode):
    """Counts sums over a dimension."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.overloadpacket is torch.ops.aten.sum
        return function(*args, **(kwargs or {}))


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_equals_the_steps_of_each_sequence_and_their_gradients(name, reverse):
    cell = CELLS[name](X, H).double()
    x = torch.randn(T, B, X, dtype=torch.double, requires_grad=True)
    lengths = torch.tensor([6, 2, 4])
    padding = Padding.of(lengths, B, T, x.device)
    found = scan(cell, padding.clear(x), cell.initial_state(B, x), padding, reverse)

    outputs, states = torch.zeros(T, B, H, dtype=torch.double), []
    for row, length in enumerate(lengths.tolist()):
        state = cell.initial_state(1, x)
        for t in reversed(range(length)) if reverse else range(length):
            state = cell(x[t, row : row + 1], state)
            outputs[t, row] = state[0][0]
        states.append(state)
    expected = outputs, tuple(torch.cat(parts) for parts in zip(*states, strict=True))
    torch.testing.assert_close(found, expected)
    losses = [
        o.pow(2).sum() + sum(part.sin().sum() for part in last) for o, last in (found, expected)
    ]
    ours, theirs = (torch.autograd.grad(loss, [x, *cell.parameters()]) for loss in losses)
    torch.testing.assert_close(ours, theirs)


def test_one_input_product_and_one_of_each_weight_gradient():
    cell = GRUCell(X, H)
    x = torch.randn(T, B, X, requires_grad=True)
    with Products() as forward:
        outputs, _ = scan(cell, x, cell.initial_state(B, x))
    assert forward.shapes == {((T * B, X), (X, 3 * H)): 1, ((B, H), (H, 3 * H)): T}
    with Products() as backward:
        outputs.sum().backward()
    assert backward.shapes == {
        ((3 * H, T * B), (T * B, X)): 1,  # dW_ih
        ((H, T * B), (T * B, 3 * H)): 1,  # dW_hh, transposed, which takes less time
        ((T * B, 3 * H), (3 * H, X)): 1,  # dx
        ((B, 3 * H), (3 * H, H)): T - 1,  # dh: the first state needs none
    }


@pytest.mark.parametrize("name, vectors", [("peephole_lstm", 3), ("indrnn", 1)])
def test_the_gradient_of_a_vector_of_weights_is_summed_once(name, vectors):
    cell, x = CELLS[name](X, H, bias=False), torch.randn(T, B, X)
    outputs, _ = scan(cell, x, cell.initial_state(B, x))
    with Sums() as sums:
        outputs.pow(2).mean().backward()
    assert sums.count == vectors


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
    cell = CELLS[name](2, 2).double()
    x = torch.randn(3, 2, 2, dtype=torch.double, requires_grad=True)
    state = tuple(
        torch.randn(2, 2, dtype=torch.double, requires_grad=True) for _ in range(cell.state_size)
    )
    padding = Padding.of(torch.tensor([3, 1]), 2, 3, x.device)

    def run(x, weight, *state):
        cell._parameters[which] = weight
        outputs, last = scan(cell, x, state, padding)
        return outputs, *last

    which = "weight_ih" if cell.weight_hh is None else "weight_hh"
    weight = torch.randn_like(getattr(cell, which)).requires_grad_()
    assert gradcheck(run, (x, weight, *state))
    assert gradgradcheck(run, (x, weight, *state))


def test_without_gradients_nothing_is_kept():
    cell, x = LSTMCell(X, H), torch.randn(T, B, X)
    with torch.no_grad():
        outputs, last = scan(cell, x, cell.initial_state(B, x))
    assert not outputs.requires_grad and not last[0].requires_grad
