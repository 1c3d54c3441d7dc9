"""Recurrent equals torch.nn and itself one sentence at a time, whatever is in the padding."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.overrides import TorchFunctionMode

from common.recurrent import (
    NestedState,
    Recurrent,
    RecurrentState,
    select_rows,
)
from common.recurrent.state import state_tensors
from tests.common.recurrent.cells import CELLS, STANDARD
from tests.common.recurrent.test_new_cell import FastWeights
from tests.devices import drawn
from tests.tolerances import LIKELY, assert_same_sums

NETWORKS = {
    **{name: name for name in STANDARD},
    **{f"scan_{name}": CELLS[name] for name in STANDARD},
    **{name: cell for name, cell in CELLS.items() if name not in STANDARD},
    "fast_weights": FastWeights,
}
every_cell = pytest.mark.parametrize("name", NETWORKS)
every_stack = pytest.mark.parametrize("layers, bidirectional", [(1, False), (1, True), (3, True)])
B, T, X, H = 4, 7, 5, 6
LENGTHS = torch.tensor([3, 7, 1, 5])


def make(name: str, **options) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(NETWORKS[name], X, H, **options).double()


def inputs(seed: int = 1) -> Tensor:
    return drawn(torch.randn, B, T, X, dtype=torch.double, seed=seed).requires_grad_()


def random_state(network: Recurrent, seed: int = 2) -> RecurrentState:
    generator = torch.Generator("cpu").manual_seed(seed)
    return tuple(
        tuple(
            drawn(torch.randn, (B, *shape), dtype=torch.double, seed=generator).requires_grad_()
            for shape in shapes
        )
        for shapes in network.state_shapes
    )


def stacked(state: RecurrentState, dim: int = 0) -> tuple[Tensor, ...]:
    """As torch has it: (L D, B, H) of h, or of h and c."""
    return tuple(torch.stack(parts, dim) for parts in zip(*state, strict=True))


def loss_of(outputs: Tensor, state: NestedState) -> Tensor:
    """A loss that weighs every number differently, so that no two can be exchanged unnoticed."""
    parts = [outputs, *state_tensors(state)]
    return sum((part * torch.linspace(-1, 2, part.numel()).view_as(part)).sum() for part in parts)


# -- torch.nn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ours", ["kernel", "scan"])
@pytest.mark.parametrize("ragged", [False, True])
@every_stack
@pytest.mark.parametrize("name", STANDARD)
def test_outputs_states_and_gradients_equal_torchs(name, layers, bidirectional, ragged, ours):
    reference, _ = STANDARD[name]
    options = {"num_layers": layers, "bidirectional": bidirectional}
    network = make(name if ours == "kernel" else f"scan_{name}", **options)
    theirs = reference(X, H, layers, bidirectional=bidirectional, batch_first=True).double()
    network.load_state_dict(theirs.state_dict())
    x, state = inputs(), random_state(network)

    outputs, last = network(x, LENGTHS if ragged else None, state)
    names = {name.removeprefix("kernel."): p for name, p in network.named_parameters()}
    if ours == "scan":
        names = {f"{n.split('.')[2]}_{n.split('.')[1]}": p for n, p in names.items()}
    weights = [names[n] for n, _ in theirs.named_parameters()]
    gradients = torch.autograd.grad(
        loss_of(outputs, stacked(last)), [x, *state_tensors(state), *weights]
    )

    first = stacked(state)
    fed = pack_padded_sequence(x, LENGTHS.cpu(), True, False) if ragged else x
    expected, expected_last = theirs(fed, first if name == "lstm" else first[0])
    if ragged:
        expected, _ = pad_packed_sequence(expected, True)
    expected_last = expected_last if name == "lstm" else (expected_last,)
    wanted = [x, *state_tensors(state), *theirs.parameters()]
    expected_gradients = torch.autograd.grad(loss_of(expected, expected_last), wanted)

    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(stacked(last), expected_last)
    torch.testing.assert_close(gradients, expected_gradients)


@pytest.mark.parametrize("name", STANDARD)
def test_weights_move_to_torch_and_back(name):
    reference, cell = STANDARD[name]
    theirs = reference(X, H, 2, bidirectional=True).double()
    options = {"num_layers": 2, "bidirectional": True}
    for network in (Recurrent(name, X, H, **options), Recurrent(cell, X, H, **options)):
        network.double().load_state_dict(theirs.state_dict())  # strict: every name finds its place
        network.load_state_dict(network.state_dict())
        outer = nn.ModuleDict({"encoder": network})
        outer.load_state_dict({f"encoder.{k}": v for k, v in theirs.state_dict().items()})
    ours = Recurrent(name, X, H, **options).double()
    theirs.load_state_dict(ours.kernel.state_dict())
    x = torch.randn(T, B, X, dtype=torch.double)
    torch.testing.assert_close(theirs(x)[0].transpose(0, 1), ours(x.transpose(0, 1))[0])


def test_the_default_initialization_is_torchs():
    torch.manual_seed(3)
    ours = Recurrent("gru", X, H)
    torch.manual_seed(3)
    theirs = nn.GRU(X, H)
    for name, parameter in theirs.named_parameters():
        assert torch.equal(parameter, getattr(ours.kernel, name))


# -- one step at a time -----------------------------------------------------------------------


@every_cell
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("deferred", [False, True])
def test_step_by_step_equals_the_whole_pass(name, layers, deferred):
    network = make(name, num_layers=layers)
    x, state = inputs(), random_state(network)
    expected = network(x, state=state)
    wanted = [x, *state_tensors(state), *network.parameters()]
    # Zeros for a part that no step reads, such as an output beside the state that it was made of.
    expected_gradients = torch.autograd.grad(loss_of(*expected), wanted, materialize_grads=True)

    steps, outputs, last = network.deferred() if deferred else network, [], state
    for x_t in x.unbind(1):
        output, last = steps.step(x_t, last)
        outputs.append(output)
    whole = torch.stack(outputs, 1)
    torch.testing.assert_close((whole, last), expected)
    gradients = torch.autograd.grad(loss_of(whole, last), wanted, materialize_grads=True)
    torch.testing.assert_close(gradients, expected_gradients)


@pytest.mark.parametrize("name", ["gru", "layer_norm_lstm"])
def test_steps_use_new_weights_wherever_they_came_from(name):
    network = make(name)
    x, state = inputs()[:, 0], random_state(network)
    before = network.step(x, state)[0]
    changed = {k: v * 2 for k, v in network.named_parameters()}
    weights = {f"network.{name}": value for name, value in changed.items()}
    exchanged = torch.func.functional_call(Step(network), weights, (x, state))
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        twin.load_state_dict(changed)
        torch.testing.assert_close(twin.step(x, state)[0], exchanged)
        twin.to(torch.float32).to(torch.double)
        # Its weights were rounded to float32, two products of them are summed up.
        assert_same_sums(twin.step(x, state)[0], exchanged, terms=X + H, dtype=torch.float32)
    torch.testing.assert_close(network.step(x, state)[0], before)


class Step(nn.Module):
    def __init__(self, network: Recurrent) -> None:
        super().__init__()
        self.network = network

    def forward(self, x, state):
        return self.network.step(x, state)[0]


def test_dropout_is_between_layers_and_in_training_only():
    network = make("gru", num_layers=2, dropout=1.0)
    x, state = inputs(), random_state(network)
    zeros = torch.zeros(B, H, dtype=torch.double)
    upper = network.kernel
    nothing = torch.gru(
        zeros.unsqueeze(0), state[1][0].unsqueeze(0), upper.all_weights[1], True, 1, 0.0,
        False, False, False,
    )[0][0]  # fmt: skip
    torch.testing.assert_close(network.step(x[:, 0], state)[0], nothing)
    torch.testing.assert_close(network(x, state=state)[0][:, 0], nothing)
    torch.testing.assert_close(network(x, LENGTHS, state)[0][:, 0], nothing)
    network.eval()
    outputs = network(x, state=state)[0]
    assert not torch.allclose(outputs[:, 0], nothing)
    torch.testing.assert_close(network.step(x[:, 0], state)[0], outputs[:, 0])


# -- padding ----------------------------------------------------------------------------------


@every_cell
@every_stack
def test_a_sentence_alone_equals_itself_in_any_batch(name, layers, bidirectional):
    network = make(name, num_layers=layers, bidirectional=bidirectional)
    x, state = inputs(), random_state(network)
    outputs, last = network(x, LENGTHS, state)
    for row, length in enumerate(LENGTHS.tolist()):
        own = select_rows(state, torch.tensor([row]))
        alone, alone_last = network(x[row : row + 1, :length], state=own)
        torch.testing.assert_close(outputs[row : row + 1, :length], alone)
        assert (outputs[row, length:] == 0).all()
        torch.testing.assert_close(select_rows(last, torch.tensor([row])), alone_last)


@every_cell
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, 1e300])
@every_stack
def test_padding_reaches_nothing(name, junk, layers, bidirectional):
    network = make(name, num_layers=layers, bidirectional=bidirectional)
    padded = torch.arange(T) >= LENGTHS.unsqueeze(1)
    results = []
    for value in (0.0, junk):
        x = inputs().detach().masked_fill(padded.unsqueeze(2), value).requires_grad_()
        outputs, last = network(x, LENGTHS)
        gradients = torch.autograd.grad(loss_of(outputs, last), [x, *network.parameters()])
        assert (gradients[0][padded] == 0).all()
        assert (gradients[0][~padded] != 0).any(dim=1).all() or name.endswith("relu")
        results.append((outputs, last, gradients))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_state_without_bounds_does_not_grow_through_the_padding(bidirectional):
    """It doubles at each step, and 200 doublings are too many for a float."""
    network = Recurrent("rnn_relu", 2, 2, bidirectional=bidirectional)
    for name, weight in network.kernel.named_parameters():
        weight.data = (
            torch.eye(2) * (2 if "_hh" in name else 1) if "weight" in name else torch.ones(2)
        )
    x = torch.ones(1, 200, 2)
    padded = network(x, torch.tensor([3]))
    alone = network(x[:, :3])
    assert_same_sums(padded[0][:, :3], alone[0], terms=3 * 4)
    assert_same_sums(padded[1], alone[1], terms=3 * 4)
    gradients, expected = (
        torch.autograd.grad(loss_of(outputs[:, :3], state), list(network.parameters()))
        for outputs, state in (padded, alone)
    )
    assert_same_sums(gradients, expected, terms=2 * 3 * 4)


@every_cell
def test_a_sentence_of_no_words_keeps_its_state(name):
    network = make(name, num_layers=2)
    state = random_state(network)
    outputs, last = network(inputs(), torch.tensor([0, 7, 0, 3]), state)
    still = torch.tensor([0, 2])
    torch.testing.assert_close(select_rows(last, still), select_rows(state, still), rtol=0, atol=0)
    assert (outputs[[0, 2]] == 0).all() and (outputs[1] != 0).any()


@every_cell
@pytest.mark.parametrize("batch, steps", [(0, 5), (3, 0), (0, 0)])
def test_an_empty_batch_is_no_error(name, batch, steps):
    network = make(name, num_layers=2, bidirectional=True)
    x = torch.zeros(batch, steps, X, dtype=torch.double)
    for lengths in (None, torch.zeros(batch, dtype=torch.long)):
        outputs, last = network(x, lengths)
        assert outputs.shape == (batch, steps, 2 * H)
        assert [[part.shape for part in cell] for cell in last] == [
            [(batch, *shape) for shape in shapes] for shapes in network.state_shapes
        ]
        assert len(last) == 4 and last[0][0].shape == (batch, H)


def test_lengths_of_the_whole_batch_cost_nothing():
    network = make("gru")
    x = inputs()
    whole = torch.full((B,), T, device="cpu")  # where they are checked
    graphs = [network(x, lengths)[0].grad_fn for lengths in (None, whole)]
    names = [graph.next_functions[0][0].name() for graph in graphs]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    "lengths, message",
    [
        (torch.tensor([1, 2, 3]), "4 whole numbers"),
        (torch.tensor([1.0, 2, 3, 4]), "whole numbers"),
        (torch.tensor([1, 2, 3, 8]), "between 0 and the 7 steps"),
        (torch.tensor([-1, 2, 3, 4]), "between 0 and the 7 steps"),
    ],
)
def test_bad_lengths(lengths, message):
    with pytest.raises(ValueError, match=message):
        make("gru")(inputs(), lengths.cpu())  # on a GPU nothing waits for them


def test_bad_shapes_and_options():
    network = make("lstm", num_layers=2)
    with pytest.raises(ValueError, match=r"inputs are \(B, T, 5\), not \(4, 7, 3\)"):
        network(inputs()[:, :, :3])
    state = random_state(network)
    for wrong in (state[:1], tuple(cell[:1] for cell in state), stacked(state)):
        with pytest.raises(ValueError, match="a tuple of 2 cell states"):
            network(inputs(), state=wrong)
    with pytest.raises(ValueError, match="no single step"):
        make("gru", bidirectional=True).step(inputs()[:, 0], random_state(network))
    with pytest.raises(ValueError, match="rnn, rnn_relu, lstm, gru"):
        Recurrent("mamba", X, H)
    with pytest.raises(ValueError, match="num_layers"):
        Recurrent("gru", X, H, num_layers=0)
    with pytest.raises(ValueError, match="probability"):
        Recurrent("gru", X, H, dropout=1.5)
    with pytest.raises(ValueError, match="not a Cell"):
        Recurrent(nn.GRUCell, X, H)


# -- mixed precision --------------------------------------------------------------------------


@every_cell
@pytest.mark.parametrize("ragged", [False, True])
def test_autocast_agrees_with_full_precision(name, ragged):
    network = make(name, num_layers=2).float()
    x = inputs().detach().float()
    lengths = LENGTHS if ragged else None

    def run(low: bool):
        network.zero_grad()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=low):
            outputs, last = network(x, lengths)
            view, state = network.deferred(), network.initial_state(B, x)
            for x_t in x.unbind(1):
                stepped, state = view.step(x_t, state)
        parts = [*stacked(last, dim=1), stepped, *stacked(state, dim=1)]
        loss_of(outputs.float(), tuple(part.float() for part in parts)).backward()
        return outputs.float(), stepped.float(), [p.grad for p in network.parameters()]

    low, full = run(True), run(False)
    # How far rounding takes a result depends on the network (a norm over a few small numbers makes
    # much of it), and is measured: weights that are off by up to a unit of bfloat16.
    unit, weights = torch.finfo(torch.bfloat16).eps, list(network.parameters())
    exact, nearby = [weight.detach().clone() for weight in weights], []
    for seed in range(3):
        generator = torch.Generator("cpu").manual_seed(seed)
        for weight, value in zip(weights, exact, strict=True):
            off = drawn(torch.rand, value.shape, seed=generator) * 2 - 1
            weight.data.copy_(value * (1 + unit * off))
        nearby.append(run(False))
    results = [(*outputs, *gradients) for *outputs, gradients in (low, full, *nearby)]
    for ours, expected, *others in zip(*results, strict=True):
        assert ours.dtype == torch.float32
        error = max((other - expected).norm() for other in others)
        assert (ours - expected).norm() < LIKELY * error


class SeenByKernels(TorchFunctionMode):
    """In the place of torch's recurrent kernels: notes what a call comes with, computes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if getattr(function, "__name__", "") not in ("gru", "lstm", "rnn_tanh", "rnn_relu"):
            return function(*arguments, **(keywords or {}))
        inputs, state, weights, *_, directions, _ = arguments
        state = state if isinstance(state, tuple) else (state,)
        tensors = [inputs, *state, *weights]
        low = torch.is_autocast_enabled("cuda")  # its rule for these kernels is float16
        self.dtypes += [torch.float16 if low else tensor.dtype for tensor in tensors]
        outputs = inputs.new_zeros(*inputs.shape[:2], (1 + directions) * state[0].shape[2])
        return outputs, *state


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("ragged", [False, True])
def test_no_kernel_sees_float16_where_bfloat16_was_asked_for(name, ragged):
    with FakeTensorMode(), torch.device("cuda"):
        try:
            torch.empty(2, 3).t().contiguous()
        except RuntimeError as error:  # PyTorch 2.6
            pytest.skip(f"this PyTorch starts CUDA for a tensor that only pretends: {error}"[:120])
    autocast = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)  # `torch.autocast` would not, without a GPU
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    seen = SeenByKernels()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cpu"):
            network = Recurrent(name, X, H, num_layers=2, bidirectional=True)
            for weight, value in network.kernel.named_parameters():
                network.kernel._parameters[weight] = nn.Parameter(
                    torch.empty_like(value, device="cuda")
                )
            lengths = torch.empty(B, dtype=torch.long, device="cuda") if ragged else None
            for dtype in (torch.float32, torch.bfloat16):
                with seen:
                    network(torch.empty(B, T, X, dtype=dtype, device="cuda"), lengths)
    finally:
        torch.set_autocast_enabled("cuda", autocast[0])
        torch.set_autocast_dtype("cuda", autocast[1])
    fused = name != "rnn_relu" or not ragged
    assert set(seen.dtypes) == ({torch.float32} if fused else set())
