"""What every cell can do in `Recurrent`: any mask, resets, parts of a sequence, stacks of any form."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor

from common.recurrent import GRUCell, Recurrent, RecurrentState, detached, map_state
from common.recurrent.state import state_tensors
from tests.common.recurrent.test_layer import (
    NETWORKS,
    B,
    H,
    T,
    X,
    every_cell,
    inputs,
    loss_of,
    make,
    random_state,
)

MASK = torch.tensor(
    [[1, 1, 0, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1, 1], [0] * 7, [0, 1, 1, 1, 0, 0, 0]], dtype=torch.bool
)
RESETS = torch.tensor(
    [[0, 0, 0, 1, 0, 0, 1], [1, 0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0], [0] * 7], dtype=torch.bool
)
LINEAR = ["min_gru", "min_lstm", "hgrn"]
directions = pytest.mark.parametrize("bidirectional", [False, True])


def results(network: Recurrent, x: Tensor, state: RecurrentState, **said) -> list[Tensor]:
    """Outputs, last state, and the gradients of input, first state and weights."""
    x = x.detach().requires_grad_()
    state = map_state(lambda part: part.detach().requires_grad_(), state)
    outputs, last = network(x, state=state, **said)
    # Some networks have weights that nothing reads, as those above a layer of no steps.
    wanted = [x, *state_tensors(state), *network.parameters()]
    gradients = torch.autograd.grad(loss_of(outputs, last), wanted, materialize_grads=True)
    return [outputs, *state_tensors(last), *gradients]


def rows_of(state: RecurrentState, rows: slice) -> RecurrentState:
    return map_state(lambda part: part[rows], state)


# -- masks and resets --------------------------------------------------------------------------


@every_cell
@directions
def test_a_mask_leaves_the_state_as_it_is_wherever_it_stands(name, bidirectional):
    network = make(name, num_layers=2, bidirectional=bidirectional)
    x, state = inputs(), random_state(network)
    with torch.no_grad():
        x[~MASK] = torch.nan
    outputs, last = network(x, state=state, mask=MASK)
    assert (outputs[~MASK] == 0).all()
    for row, mask in enumerate(MASK):
        one = slice(row, row + 1)
        alone, its_last = network(x[one, mask], state=rows_of(state, one))
        torch.testing.assert_close(outputs[row, mask], alone[0])
        torch.testing.assert_close(rows_of(last, one), its_last)
    (gradient,) = torch.autograd.grad(loss_of(outputs, last), x)
    assert (gradient[~MASK] == 0).all() and gradient.isfinite().all()


@every_cell
def test_a_mask_of_padding_at_the_end_is_lengths_and_may_stand_on_the_left(name):
    network = make(name, bidirectional=True)
    x, state, lengths = inputs(), random_state(network), torch.tensor([3, 7, 0, 5])
    right = torch.arange(T) < lengths.unsqueeze(1)
    expected = results(network, x, state, lengths=lengths)
    torch.testing.assert_close(results(network, x, state, mask=right), expected, rtol=0, atol=0)

    moved = torch.stack([row.roll(T - n, 0) for row, n in zip(x, lengths.tolist(), strict=True)])
    outputs, last = network(moved, state=state, mask=right.flip(1))
    torch.testing.assert_close(outputs[right.flip(1)], expected[0][right])
    torch.testing.assert_close(
        list(state_tensors(last)), expected[1 : 1 + len(list(state_tensors(last)))]
    )


@every_cell
@directions
def test_a_reset_cuts_a_sequence_in_two(name, bidirectional):
    network = make(name, num_layers=2, bidirectional=bidirectional)
    x, state = inputs(), random_state(network)
    outputs, last = network(x, state=state, resets=RESETS)
    count = network.num_directions
    for row, resets in enumerate(RESETS):
        one, starts = slice(row, row + 1), resets.nonzero().flatten().tolist()
        bounds = [0, *(start for start in starts if start > 0), T]
        parts = list(zip(bounds, bounds[1:], strict=False))
        lasts = []
        for index, (start, end) in enumerate(parts):
            first = list(network.initial_state(1, x))
            for place in range(len(first)):
                backwards = place % count == 1
                begins = index == len(parts) - 1 if backwards else index == 0 and not resets[0]
                if begins:
                    first[place] = rows_of(state, one)[place]
            alone, its_last = network(x[one, start:end], state=tuple(first))
            torch.testing.assert_close(outputs[one, start:end], alone)
            lasts.append(its_last)
        for place, found in enumerate(last):
            expected = lasts[0 if place % count == 1 else -1][place]
            torch.testing.assert_close(tuple(part[one] for part in found), expected)


@every_cell
def test_masks_and_resets_go_together(name):
    """A step at a time, by `reset`: a reset at a step that is not real waits for the next real one."""
    network = make(name, learn_initial_state=True)
    with torch.no_grad():
        for part in network.first_state:
            part.normal_()
    x, state = inputs(), random_state(network)
    found, last = network(x, state=state, mask=MASK, resets=RESETS)
    waiting = torch.zeros(B, dtype=torch.bool)
    for time in range(T):
        real, waiting = MASK[:, time], waiting | RESETS[:, time]
        before = network.reset(state, waiting & real)
        output, after = network.step(x[:, time], before)
        after = iter(state_tensors(after))
        state = map_state(
            lambda old: torch.where(real.view(-1, *[1] * (old.dim() - 1)), next(after), old),  # noqa: B023
            state,
        )
        torch.testing.assert_close(found[:, time], output * real.unsqueeze(1))
        waiting = waiting & ~real
    torch.testing.assert_close(last, state)


def test_masks_and_resets_of_the_wrong_kind():
    network, x = make("gru"), inputs()
    with pytest.raises(ValueError, match=r"mask is a boolean tensor \(4, 7\)"):
        network(x, mask=torch.ones(B, T))
    with pytest.raises(ValueError, match=r"resets is a boolean tensor \(4, 7\)"):
        network(x, resets=torch.zeros(B, dtype=torch.bool))
    with pytest.raises(ValueError, match="one too many"):
        network(x, torch.tensor([1, 2, 3, 4]), mask=MASK)


def test_a_single_sequence_has_a_mask_and_resets_of_its_own():
    network, x = make("gru"), inputs()
    outputs, _ = network(x, mask=MASK, resets=RESETS)
    alone, _ = network(x[0], mask=MASK[0], resets=RESETS[0])
    torch.testing.assert_close(alone, outputs[0])


# -- parts of a sequence -----------------------------------------------------------------------


@every_cell
def test_two_parts_with_the_state_carried_equal_the_whole(name):
    network = make(name, num_layers=2)
    x, state = inputs(), random_state(network)
    whole, last = network(x, state=state, mask=MASK, resets=RESETS)
    left, middle = network(x[:, :3], state=state, mask=MASK[:, :3], resets=RESETS[:, :3])
    resets = RESETS[:, 3:].clone()
    resets[1, 0] = True  # that of step 0, which waits for the first real step
    right, end = network(x[:, 3:], state=middle, mask=MASK[:, 3:], resets=resets)
    torch.testing.assert_close(torch.cat([left, right], dim=1), whole)
    torch.testing.assert_close(end, last)


def test_a_detached_state_stops_the_gradient():
    network, x = make("gru"), inputs()
    _, state = network(x[:, :3])
    outputs, _ = network(x[:, 3:], state=detached(state))
    (gradient,) = torch.autograd.grad(outputs.sum(), x)
    assert (gradient[:, :3] == 0).all() and (gradient[:, 3:] != 0).all()


@every_cell
def test_the_first_state_is_learnt(name):
    network = make(name, learn_initial_state=True, num_layers=2)
    x = inputs()
    torch.testing.assert_close(network(x), make(name, num_layers=2)(x))  # zeros, before it learns
    given = random_state(network)
    with torch.no_grad():
        for part, other in zip(network.first_state, state_tensors(given), strict=True):
            part.copy_(other[:1])
    expected = network(x, state=map_state(lambda part: part[:1].expand_as(part), given))
    torch.testing.assert_close(network(x), expected)
    network(x)[0].sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.first_state)
    loaded = make(name, learn_initial_state=True, num_layers=2)
    loaded.load_state_dict(network.state_dict())
    torch.testing.assert_close(loaded(x), expected)


# -- stacks ------------------------------------------------------------------------------------


@every_cell
@pytest.mark.parametrize("connections", ["plain", "residual", "dense"])
@pytest.mark.parametrize("merge", [None, "concat", "sum", "mean", "product"])
def test_a_stack_is_made_of_single_layers(name, connections, merge):
    bidirectional = merge is not None
    sizes = [H, H, H] if connections == "residual" else [H, 2, H + 1]
    torch.manual_seed(0)
    cell = NETWORKS[name]
    options = {"bidirectional": bidirectional, "merge": merge or "concat"}
    network = Recurrent(cell, X, sizes, connections=connections, **options).double()
    x, mask = inputs(), MASK
    state = random_state(network)
    outputs, last = network(x, state=state, mask=mask)

    values, count, lasts = x, network.num_directions, []
    for layer, size in enumerate(sizes):
        single = Recurrent(cell, values.shape[2], size, **options).double()
        copy_layer(network, layer, single)
        first = state[layer * count : (layer + 1) * count]
        output, its_last = single(values, state=first, mask=mask)
        lasts += its_last
        if connections == "residual" and layer > 0:
            output = output + values
        values = torch.cat([values, output], dim=2) if connections == "dense" else output
    torch.testing.assert_close(outputs, output)
    torch.testing.assert_close(last, tuple(lasts))
    assert outputs.shape[2] == network.output_size

    if not bidirectional and connections != "dense":
        torch.testing.assert_close(
            network.step_projected(network.project(x[:, 0]), state), network.step(x[:, 0], state)
        )
    if not bidirectional:
        carried, real = state, mask[:, 0].unsqueeze(1)
        torch.testing.assert_close(network.step(x[:, 0], carried)[0] * real, outputs[:, 0])


def copy_layer(network: Recurrent, layer: int, single: Recurrent) -> None:
    """Copy the weights of one layer into a network of one layer."""
    weights = network.state_dict()
    prefix = "kernel." if network.kernel is not None else f"cells.l{layer}"
    for key in single.state_dict():
        theirs = key.replace("kernel.", "").replace("cells.", "")
        if network.kernel is not None:
            source = prefix + theirs.replace("l0", f"l{layer}")
        elif single.kernel is not None:  # weight_ih_l0_reverse: cells.l2_reverse.weight_ih
            weight, way = theirs.split("_l0")
            source = f"{prefix}{way}.{weight}"
        else:
            source = "cells." + theirs.replace("l0", f"l{layer}", 1)
        single.state_dict()[key].copy_(weights[source])


@every_cell
def test_backwards_is_the_reversed_sequence(name):
    network, backwards = make(name, num_layers=2), make(name, num_layers=2, go_backwards=True)
    x, state = inputs(), random_state(network)
    expected, its_last = network(x.flip(1), state=state)
    outputs, last = backwards(x, state=state)
    torch.testing.assert_close(outputs.flip(1), expected)
    torch.testing.assert_close(last, its_last)
    lengths = torch.tensor([3, 7, 0, 5])
    outputs, _ = backwards(x, lengths, state)
    for row, length in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        alone, _ = backwards(x[one, :length], state=rows_of(state, one))
        torch.testing.assert_close(outputs[one, :length], alone)


@every_cell
@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True, "merge": "mean"}, {"go_backwards": True}]
)
def test_the_last_output_alone(name, options):
    network = make(name, return_sequences=False, **options)
    sequences = make(name, **options)
    lengths = torch.tensor([3, 7, 1, 5])
    last, state = network(inputs(), lengths)
    outputs, its_state = sequences(inputs(), lengths)
    torch.testing.assert_close(state, its_state)
    forwards = outputs[torch.arange(B), lengths - 1]
    if options.get("go_backwards"):
        forwards = outputs[:, 0]
    elif options:
        forwards = (state[0][0] + state[1][0]) / 2
    torch.testing.assert_close(last, forwards)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"merge": "max"}, "merge is one of concat, sum, mean, product, not 'max'"),
        ({"connections": "skip"}, "connections is one of plain, residual, dense"),
        ({"hidden_size": [3, 4], "connections": "residual"}, "layers of one size"),
        ({"hidden_size": [3, 4], "num_layers": 3}, r"\[3, 4\] are no sizes of 3 layers"),
        ({"hidden_size": []}, "are no sizes"),
        ({"bidirectional": True, "go_backwards": True}, "no go_backwards"),
        ({"num_layers": 2, "connections": "residual", "return_sequences": False}, "last output"),
        ({"zoneout": [0.1, 0.1]}, "each of the 1 tensors of the state of GRUCell"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout is a probability below 1"),
        ({"zoneout": -0.1}, "zoneout is a probability"),
        ({"mode": "parallel"}, "GRUCell is not linear"),
        ({"input_dropout": 2.0}, "input_dropout is a probability"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(**{"cell": "gru", "input_size": 3, "hidden_size": 4} | options)


def test_dense_networks_step_with_their_inputs_alone():
    network = make("gru", num_layers=2, connections="dense")
    with pytest.raises(ValueError, match="call `step`"):
        network.step_projected(network.project(inputs()[:, 0]), network.initial_state(B, inputs()))


# -- ways to unroll ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINEAR)
@directions
def test_both_modes_are_one_result(name, bidirectional):
    options = {"num_layers": 2, "bidirectional": bidirectional}
    loop, parallel = (make(name, mode=mode, **options) for mode in ("loop", "parallel"))
    x, state = inputs(), random_state(loop)
    for said in ({}, {"lengths": torch.tensor([3, 7, 0, 5])}, {"mask": MASK, "resets": RESETS}):
        torch.testing.assert_close(
            results(parallel, x, state, **said), results(loop, x, state, **said)
        )


@pytest.mark.parametrize("name", ["rnn", "rnn_relu", "lstm", "gru"])
def test_our_loop_takes_the_place_of_a_kernel(name):
    loop, kernel = make(name, mode="loop", num_layers=2), make(name, num_layers=2)
    x, state = inputs(), random_state(kernel)
    torch.testing.assert_close(results(loop, x, state), results(kernel, x, state))


def test_all_options_at_once_are_copied_and_saved():
    network = Recurrent(
        partial(GRUCell, reset_after=False), X, [H, 4], bidirectional=True, merge="sum",
        connections="dense", dropout=0.1, input_dropout=0.1, recurrent_dropout=0.2,
        weight_dropout=0.2, zoneout=0.1, learn_initial_state=True, initialization="keras",
    ).double()  # fmt: skip
    x = inputs()
    twin = copy.deepcopy(network)
    for each in (network, twin):
        torch.manual_seed(1)
        each(x, mask=MASK, resets=RESETS)[0].square().sum().backward()
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        assert one.grad.abs().sum() > 0
        torch.testing.assert_close(one.grad, other.grad)
