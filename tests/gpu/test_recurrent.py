"""The recurrent core on a GPU: the same results by every route, and nothing that cuDNN refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from common.recurrent import (
    HGRNCell,
    IndRNNCell,
    LayerNormLSTMCell,
    MinGRUCell,
    Recurrent,
    layer as layer_module,
    map_state,
)
from common.recurrent.state import state_tensors

B, T, FEATURES, HIDDEN = 6, 9, 5, 7
KINDS = ["gru", "lstm", "rnn", "rnn_relu", LayerNormLSTMCell]
SHAPES = [(1, False), (1, True), (2, False), (3, True)]
LENGTHS = {
    "ragged": [3, 9, 1, 4, 9, 2],
    "shorter than the batch": [3, 5, 1, 4, 5, 2],
    "alike": [4] * 6,
    "full": [9] * 6,
    "some empty": [0, 9, 1, 0, 9, 2],
}


def results(network: Recurrent, inputs: Tensor, lengths: Tensor | None, state=None) -> list[Tensor]:
    """Outputs, last state, and the gradients of all that they depend on; on the host."""
    inputs = inputs.clone().requires_grad_()
    firsts = None
    if state is not None:
        firsts = map_state(lambda part: part.clone().requires_grad_(), state)
    outputs, last = network(inputs, lengths, firsts)
    ends = list(state_tensors(last))
    loss = outputs.square().sum() + sum(part.sin().sum() for part in ends)
    wanted = [inputs, *state_tensors(firsts or ()), *network.parameters()]
    return [t.detach().cpu() for t in (outputs, *ends, *torch.autograd.grad(loss, wanted))]


def lay_out_for_cudnn(network: Recurrent) -> None:
    """Put the weights of a kernel into one chunk of memory, as `flatten_parameters` does on CUDA."""
    weights = list(network.kernel.parameters())
    size = sum(weight.numel() for weight in weights)
    chunk = weights[0].new_zeros(size + sum(len(weight) for weight in weights)).detach()
    place = 0
    for weight in weights:
        part = chunk[place : place + weight.numel()].view_as(weight)
        weight.data = part.copy_(weight.data)
        place += weight.numel()


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn", "rnn_relu"])
def test_layers_without_biases_take_none_from_the_next_layer(device, cell, both):
    network = Recurrent(cell, FEATURES, HIDDEN, num_layers=2, bidirectional=both, bias=False)
    there = copy.deepcopy(network).double().to(device)
    lay_out_for_cudnn(there)
    inputs, lengths = torch.randn(B, T, FEATURES).double(), torch.tensor(LENGTHS["ragged"])
    expected = network.double()(inputs, lengths)[0]
    for given in (lengths, lengths.to(device)):
        outputs, _ = there(inputs.to(device), given)
        torch.testing.assert_close(outputs.cpu(), expected)


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize(("layers", "both"), SHAPES)
@pytest.mark.parametrize("cell", KINDS)
def test_a_padded_batch_gives_the_same_by_every_route(device, waits, cell, layers, both, kind):
    """On the CPU; on the GPU with lengths on the host, packed; and with lengths there."""
    network = Recurrent(cell, FEATURES, HIDDEN, num_layers=layers, bidirectional=both).double()
    there = copy.deepcopy(network).to(device)
    inputs = torch.randn(B, T, FEATURES, dtype=torch.double)
    lengths = torch.tensor(LENGTHS[kind])
    state = map_state(torch.randn_like, network.initial_state(B, inputs))
    expected = results(network, inputs, lengths, state)
    moved = inputs.to(device), map_state(lambda part: part.to(device), state)
    with waits() as found:
        there(moved[0], lengths, moved[1])
    assert not found
    for route in (lengths, lengths.to(device)):
        for one, other in zip(expected, results(there, moved[0], route, moved[1]), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ["full", "ragged", "some empty"])
@pytest.mark.parametrize(("layers", "both"), SHAPES)
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_a_first_state_may_be_a_view(device, cell, layers, both, kind):
    """cuDNN refuses one whose rows are not side by side in memory."""
    network = Recurrent(cell, FEATURES, HIDDEN, num_layers=layers, bidirectional=both).to(device)
    inputs, lengths = torch.randn(B, T, FEATURES, device=device), torch.tensor(LENGTHS[kind])
    wide = map_state(
        lambda part: torch.randn(B, 2 * HIDDEN, device=device), network.initial_state(B, inputs)
    )
    views = map_state(lambda part: part[:, ::2], wide)
    for route in (None, lengths, lengths.to(device)):
        found = network(inputs, route, views)[0]
        expected = network(inputs, route, map_state(torch.Tensor.contiguous, views))[0]
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_lengths_on_the_host_make_one_call_for_all_layers(device, monkeypatch, cell):
    calls = []
    unroll = layer_module.unroll_kernel
    monkeypatch.setattr(layer_module, "unroll_kernel", lambda *a: calls.append(a) or unroll(*a))
    network = Recurrent(cell, FEATURES, HIDDEN, num_layers=2, bidirectional=True).to(device)
    network(torch.randn(B, T, FEATURES, device=device), torch.tensor(LENGTHS["ragged"]))
    assert len(calls) == 1


@pytest.mark.parametrize("padded", ["no", "on the host", "on the device"])
@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True)])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn", "rnn_relu"])
def test_evaluation_mode_has_gradients(device, cell, layers, both, padded):
    """cuDNN differentiates what it has computed as in training alone."""
    network = Recurrent(
        cell, FEATURES, HIDDEN, num_layers=layers, bidirectional=both, dropout=0.5
    ).to(device)
    lengths = None if padded == "no" else torch.tensor(LENGTHS["ragged"])
    lengths = lengths.to(device) if padded == "on the device" else lengths
    inputs = torch.randn(B, T, FEATURES, device=device)
    once, again = (results(network.eval(), inputs, lengths) for _ in range(2))
    for one, other in zip(once, again, strict=True):  # without dropout
        torch.testing.assert_close(one, other)


def test_dropout_between_layers_is_that_of_training(device):
    network = Recurrent("gru", FEATURES, HIDDEN, num_layers=2, dropout=0.5).to(device)
    inputs = torch.randn(B, T, FEATURES, device=device)
    for lengths in (None, torch.tensor(LENGTHS["ragged"])):
        assert not torch.equal(network(inputs, lengths)[0], network(inputs, lengths)[0])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_padding_reaches_nothing(device, cell):
    network = Recurrent(cell, FEATURES, HIDDEN, num_layers=2, bidirectional=True).to(device)
    lengths = torch.tensor(LENGTHS["ragged"])
    inputs = torch.randn(B, T, FEATURES, device=device)
    padding = (torch.arange(T) >= lengths.unsqueeze(1)).to(device)
    spoilt = inputs.masked_fill(padding.unsqueeze(2), torch.nan)
    clean, dirty = results(network, inputs, lengths), results(network, spoilt, lengths)
    for one, other in zip(clean, dirty, strict=True):
        torch.testing.assert_close(one, other)
    assert (clean[0][padding.cpu()] == 0).all()


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("padded", [False, True])
def test_bfloat16_leaves_the_kernels_in_float32(device, cell, padded):
    network = Recurrent(cell, FEATURES, HIDDEN, num_layers=2).to(device)
    lengths = torch.tensor(LENGTHS["ragged"]) if padded else None
    inputs = torch.randn(B, T, FEATURES, device=device)
    plain = results(network, inputs, lengths)
    with torch.autocast(device.type, torch.bfloat16):
        outputs, _ = network(inputs, lengths)
    outputs.sum().backward()
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs.detach().cpu(), plain[0])


def test_exchanged_parameters_are_used(device):
    """`torch.func.functional_call` puts other weights into the kernel for one call."""
    network = Recurrent("gru", FEATURES, HIDDEN).to(device)
    inputs, lengths = torch.randn(B, T, FEATURES, device=device), torch.tensor(LENGTHS["ragged"])
    zeros = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    for given in (None, lengths):
        outputs, _ = torch.func.functional_call(network, zeros, (inputs, given))
        assert (outputs == 0).all() and network(inputs, given)[0].any()


MASK = torch.tensor(
    [[1, 0, 1, 1, 0, 1, 1, 1, 0]] * 3 + [[0] * 9, [1] * 9, [0] * 5 + [1] * 4]
).bool()
RESETS = torch.tensor([[0, 1, 0, 0, 0, 0, 1, 0, 0]] * 4 + [[0] * 9, [1] * 9]).bool()


@pytest.mark.parametrize("resets", [None, RESETS], ids=["", "resets"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", [*KINDS, MinGRUCell, HGRNCell])
def test_masks_and_resets_may_be_on_the_host_or_there(device, waits, cell, both, resets):
    """Linear cells run in parallel there, and step by step here."""
    options = {"num_layers": 2, "bidirectional": both, "learn_initial_state": True}
    network = Recurrent(cell, FEATURES, HIDDEN, **options).double()
    there = copy.deepcopy(network).to(device)
    inputs = torch.randn(B, T, FEATURES, dtype=torch.double)
    expected = network(inputs, mask=MASK, resets=resets)
    for place in ("cpu", device):
        flags = [None if each is None else each.to(place) for each in (MASK, resets)]
        moved = inputs.to(device)
        with waits() as found:
            outputs, state = there(moved, mask=flags[0], resets=flags[1])
        assert not found or resets is not None  # the number of sequences depends on resets
        found = map_state(lambda part: part.cpu(), state)
        torch.testing.assert_close((outputs.cpu(), found), expected)


@pytest.mark.parametrize("cell", [*KINDS, IndRNNCell])
def test_what_is_dropped_is_drawn_there(device, waits, cell):
    network = Recurrent(
        cell, FEATURES, [HIDDEN, 4], connections="dense", dropout=0.2, input_dropout=0.2,
        recurrent_dropout=0.2, weight_dropout=0.2, zoneout=0.1,
    ).to(device)  # fmt: skip
    inputs, lengths = torch.randn(B, T, FEATURES, device=device), torch.tensor(LENGTHS["ragged"])
    with waits() as found:
        outputs, _ = network(inputs, lengths)
        outputs.square().sum().backward()
    assert not found
    assert outputs.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
