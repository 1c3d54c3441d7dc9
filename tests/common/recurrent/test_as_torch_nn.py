"""Whatever one does to a `torch.nn.LSTM` works, for every cell, or is refused in one line."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from common.recurrent import GRUCell, Recurrent
from tests.common.recurrent.cells import CELLS, STANDARD

EVERY = {
    **{name: name for name in STANDARD},
    **{f"{name} cell": each for name, each in CELLS.items()},
}
LENGTHS = [None, torch.tensor([5, 3])]


@pytest.fixture(params=EVERY)
def network(request: pytest.FixtureRequest) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(EVERY[request.param], 3, 4, num_layers=2)


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(2, 5, 3)


def recurrent_weights(network: Recurrent) -> Iterator[tuple[nn.Module, str]]:
    if network.kernel is not None:
        yield from ((network.kernel, f"weight_hh_{suffix}") for suffix in network._suffixes)
    else:
        for cell in network.cells.values():
            yield cell, "weight_ih" if cell.weight_hh is None else "weight_hh"


def results(
    network: nn.Module, call: Callable, inputs: Tensor, lengths: Tensor | None
) -> dict[str, Tensor]:
    """Outputs, last state and gradients of a pass."""
    network.zero_grad()
    outputs, state = call(inputs, lengths)
    outputs.pow(2).sum().backward()
    found = {"outputs": outputs} | {f"last {n}": part for n, part in enumerate(state[-1])}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        found[name] = parameter.grad.clone()
    return found


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.compiler
def test_compiled_it_has_the_same_gradients(network, inputs):
    torch._dynamo.reset()
    lengths = torch.tensor([5, 3])
    compiled = torch.compile(network, backend="aot_eager")
    assert_same(
        results(network, network, inputs, lengths), results(network, compiled, inputs, lengths)
    )


@pytest.mark.compiler
@pytest.mark.parametrize(("bidirectional", "padded"), [(False, False), (True, True)])
@pytest.mark.parametrize("name", EVERY)
def test_exported_it_takes_any_number_of_steps(name, bidirectional, padded):
    network = Recurrent(EVERY[name], 3, 4, bidirectional=bidirectional).eval()
    batch, steps = (torch.export.Dim(each, min=2, max=1000) for each in ("batch", "steps"))
    example = (torch.randn(2, 5, 3), torch.tensor([5, 3]))[: 1 + padded]
    shapes = ({0: batch, 1: steps}, {0: batch})[: 1 + padded]
    with torch.no_grad():
        exported = torch.export.export(network, example, dynamic_shapes=shapes).module()
        for count, length in ((3, 9), (4, 2)):
            values = torch.randn(count, length, 3)
            arguments = (values, torch.randint(1, length + 1, (count,)))[: 1 + padded]
            (outputs, (state, *_)), (expected, (last, *_)) = (
                exported(*arguments),
                network(*arguments),
            )
            for ours, theirs in zip((outputs, *state), (expected, *last), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", LENGTHS, ids=["whole", "padded"])
def test_weights_can_be_reparametrised(network, inputs, lengths):
    """Weight normalisation, as anything else that makes a weight of others."""
    before, _ = network(inputs, lengths)
    for module, name in recurrent_weights(network):
        parametrizations.weight_norm(module, name)
    assert any("original" in name for name, _ in network.named_parameters())
    after = results(network, network, inputs, lengths)
    torch.testing.assert_close(after["outputs"], before, rtol=1e-4, atol=1e-5)
    stepped, _ = network.step(inputs[:, 0], network.initial_state(2, inputs))
    torch.testing.assert_close(stepped, before[:, 0], rtol=1e-4, atol=1e-5)
    assert_same(after, results(copied := copy.deepcopy(network), copied, inputs, lengths))
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    network.load_state_dict(torch.load(buffer, weights_only=True))


@pytest.mark.parametrize("lengths", LENGTHS, ids=["whole", "padded"])
def test_weights_can_be_pruned(network, inputs, lengths):
    for module, name in recurrent_weights(network):
        prune.l1_unstructured(module, name, amount=0.5)
    results(network, network, inputs, lengths)
    torch.optim.SGD(network.parameters(), 1.0).step()
    outputs, _ = network(inputs, lengths)
    for module, name in recurrent_weights(network):
        prune.remove(module, name)
        pruned = (getattr(module, name) == 0).float().mean().item()
        assert pruned == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(network(inputs, lengths)[0], outputs, rtol=1e-4, atol=1e-5)
    stepped, _ = network.step(inputs[:, 0], network.initial_state(2, inputs))
    torch.testing.assert_close(stepped, outputs[:, 0], rtol=1e-4, atol=1e-5)


def test_it_is_copied_and_pickled(network, inputs):
    outputs, _ = network(inputs)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(inputs)[0], outputs)
        with torch.no_grad():
            next(other.parameters()).add_(1.0)
        assert torch.equal(network(inputs)[0], outputs)


@pytest.mark.parametrize("lengths", LENGTHS, ids=["whole", "padded"])
def test_the_transformations_of_torch_func(network, inputs, lengths):
    """`grad`, `jvp` and `vmap`: of a network, of its inputs, of a batch of batches."""
    parameters = dict(network.named_parameters())

    def loss(values: dict[str, Tensor]) -> Tensor:
        return functional_call(network, values, (inputs, lengths))[0].pow(2).sum()

    expected = results(network, network, inputs, lengths)
    for name, gradient in grad(loss)(parameters).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)

    direction = torch.randn_like(inputs)
    _, slope = jvp(lambda each: network(each, lengths)[0].sum(), (inputs,), (direction,))
    leaf = inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(leaf, lengths)[0].sum(), leaf)
    torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-3, atol=1e-4)

    several = torch.randn(3, 2, 5, 3)
    outputs = vmap(lambda each: network(each, lengths)[0])(several)
    torch.testing.assert_close(outputs[1], network(several[1], lengths)[0], rtol=1e-4, atol=1e-5)


def test_a_second_derivative(network, inputs):
    leaf = inputs.clone().requires_grad_()
    with torch.backends.cudnn.flags(enabled=False):  # cuDNN has none
        (first,) = torch.autograd.grad(network(leaf)[0].pow(2).sum(), leaf, create_graph=True)
    first.pow(2).sum().backward()
    assert leaf.grad is not None and leaf.grad.abs().sum() > 0


def test_replicas_share_no_weights(network):
    """Those of `DataParallel` run in threads, each with its own copy of the weights."""
    values = torch.randn(4, 5, 3)
    replicas = []
    for number in range(2):
        replica = copy.copy(network)._replicate_for_data_parallel()
        replica.__dict__["_modules"] = dict(network._modules)
        part = copy.deepcopy(network)
        with torch.no_grad():
            for parameter in part.parameters():
                parameter.mul_(1 + number)
        for name, module in part.named_children():
            copied = module._replicate_for_data_parallel()
            for each, parameter in module._parameters.items():
                setattr(copied, each, None if parameter is None else parameter.detach())
            if isinstance(module, nn.ModuleDict):
                copied = module
            replica._modules[name] = copied
        replicas.append((replica, part))
    wrong: list[int] = []

    def work(replica: Recurrent, whole: Recurrent) -> None:
        expected = whole.step(values[:, 0], whole.initial_state(4, values))[0]
        for _ in range(50):
            found = replica.step(values[:, 0], replica.initial_state(4, values))[0]
            if not torch.equal(found, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work, args=each) for each in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_lengths_are_any_whole_numbers(network, inputs):
    expected, _ = network(inputs, torch.tensor([5, 3]))
    for lengths in ([5, 3], (5, 3), np.array([5, 3]), torch.tensor([5, 3], dtype=torch.int32)):
        torch.testing.assert_close(network(inputs, lengths)[0], expected, rtol=1e-4, atol=1e-5)


def test_packed_sequences_go_in_and_out(network):
    values, lengths = torch.randn(3, 5, 3), [2, 5, 3]
    expected, last = network(values, lengths)
    packed, state = network(pack_padded_sequence(values, lengths, True, enforce_sorted=False))
    outputs, again = pad_packed_sequence(packed, batch_first=True)
    assert again.tolist() == lengths
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-4, atol=1e-5)


def test_a_single_sequence_has_no_batch(network, inputs):
    outputs, state = network(inputs[0])
    expected, last = network(inputs[:1])
    assert torch.equal(outputs, expected[0]) and torch.equal(state[0][0], last[0][0][0])
    assert torch.equal(network(inputs[0], state=state)[0], network(inputs[:1], state=last)[0][0])


@pytest.mark.parametrize("lengths", LENGTHS, ids=["whole", "padded"])
@pytest.mark.parametrize("name", STANDARD)
def test_without_biases_it_is_torch_nn_without_biases(name, inputs, lengths):
    kernel, _ = STANDARD[name]
    network = Recurrent(name, 3, 4, num_layers=2, bias=False, initialization="glorot")
    assert not any("bias" in each for each, _ in network.named_parameters())
    other = kernel(3, 4, num_layers=2, bias=False, batch_first=True)
    other.load_state_dict(network.kernel.state_dict())
    packed = inputs if lengths is None else pack_padded_sequence(inputs, lengths.tolist(), True)
    expected, _ = other(packed)
    expected = expected if lengths is None else pad_packed_sequence(expected, True)[0]
    torch.testing.assert_close(network(inputs, lengths)[0], expected, rtol=1e-4, atol=1e-5)
    stepped, _ = network.step(inputs[:, 0], network.initial_state(2, inputs))
    torch.testing.assert_close(stepped, expected[:, 0], rtol=1e-4, atol=1e-5)


def test_a_cell_without_biases(inputs):
    network = Recurrent(lambda i, h: GRUCell(i, h, bias=False), 3, 4, initialization="orthogonal")
    assert network(inputs)[0].shape == (2, 5, 4)
    assert not any("bias" in each for each, _ in network.named_parameters())


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_dynamic_quantisation_is_refused_in_one_line(name, inputs):
    if inputs.device.type != "cpu":
        pytest.skip("quantised networks are of the host")
    quantized = torch.ao.quantization.quantize_dynamic(Recurrent(name, 3, 4), {nn.GRU, nn.LSTM})
    with pytest.raises(TypeError, match="dynamic quantisation is for networks of torch.nn"):
        quantized(inputs)
