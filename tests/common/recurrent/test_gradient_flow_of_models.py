"""Gradients through time of any model: by hand, by finite differences, and with nothing changed."""

import pytest
import torch
from torch import nn

from common.decoding import Context, RecurrentDecoder
from common.models.language_model import LanguageModel
from common.models.text_batches import TextBatch
from common.recurrent import LSTMCell, MinGRUCell, Recurrent
from common.recurrent.gradient_flow import gradient_flow
from common.recurrent.watching import watching
from tests.common.recurrent.cells import CELLS
from tests.common.recurrent.test_gradient_flow import H, T, linear
from tests.tolerances import rounding

pytestmark = pytest.mark.usefixtures("float64")


class Reader(nn.Module):
    """A model with a network inside: y = sum(W h_t) over all real steps."""

    def __init__(self, cell="gru", **how):
        super().__init__()
        self.inner = nn.ModuleDict({"recurrent": Recurrent(cell, 2, H, **how)})
        self.output = nn.Linear(self.inner["recurrent"].output_size, 1, bias=False)

    def forward(self, x, lengths=None):
        return self.output(self.inner["recurrent"](x, lengths)[0]).sum()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_of_a_linear_network_by_hand(scale, bidirectional):
    # The loss is the sum of the outputs of step k alone. Forwards, d loss / d h_t is
    # scale ** (k - t) up to k and 0 after it; backwards the mirror image.
    network = linear(scale, lambda: Recurrent("rnn_relu", 1, H, bidirectional=bidirectional))
    k = 5
    flow = gradient_flow(network, lambda: network(torch.ones(3, T, 1))[0][:, k].sum())
    away = k - torch.arange(T)
    expected = {"l0": H**0.5 * torch.where(away >= 0, scale**away, 0)}
    if bidirectional:
        expected["l0_reverse"] = H**0.5 * torch.where(away <= 0, scale**-away, 0)
    torch.testing.assert_close(flow, {name: each.cpu() for name, each in expected.items()})


def test_layers_above_are_on_the_way():
    # Both layers are h' = h + input, with an input that is the sum of all units below: the top is
    # H times the sum of what is below it, so that d loss / d h_t of layer 0 counts the steps left.
    network = linear(1.0, lambda: Recurrent("rnn_relu", 1, H, num_layers=2))
    flow = gradient_flow(network, lambda: network(torch.ones(1, T, 1))[0][:, -1].sum())
    left = torch.arange(T, 0, -1.0, device="cpu")  # from step t to the last, that of t among them
    torch.testing.assert_close(flow["l1"], torch.full((T,), H**0.5, device="cpu"))
    torch.testing.assert_close(flow["l0"], H**0.5 * H * left)


def perturbed(model, x, lengths, index, time, epsilon):
    """The loss with `epsilon` (B, H) added to h of a layer and direction after one step."""
    passes = []

    def on_pass(cell, reverse):
        passes.append(cell)
        number, steps = len(passes) - 1, list(range(x.shape[1]))
        order = iter(steps[::-1] if reverse else steps)

        def on_step(state, padding):
            here = next(order) == time and number == index
            return (state[0] + epsilon, *state[1:]) if here else state

        return on_step

    with torch.no_grad(), watching(on_pass):
        return model(x, lengths)


@pytest.mark.parametrize("cell", ["rnn", "gru", MinGRUCell])  # whose state is h alone
@pytest.mark.parametrize("lengths", [None, [6, 3]])
def test_equals_finite_differences(cell, lengths):
    torch.manual_seed(0)
    model, x = Reader(cell, num_layers=2, bidirectional=True), torch.randn(2, 6, 2)
    flow = gradient_flow(model, lambda: model(x, lengths))
    names = [f"inner.recurrent.{suffix}" for suffix in ("l0", "l0_reverse", "l1", "l1_reverse")]
    assert list(flow) == names
    step = 1e-5
    for index, name in enumerate(names):
        for time in (0, 2, 5):
            slopes = torch.zeros(2, H)
            for row in range(2):
                for unit in range(H):
                    epsilon = torch.zeros(2, H)
                    epsilon[row, unit] = step
                    up = perturbed(model, x, lengths, index, time, epsilon)
                    down = perturbed(model, x, lengths, index, time, -epsilon)
                    slopes[row, unit] = (up - down) / (2 * step)
            norms = slopes.norm(dim=1)
            real = torch.tensor([n > time for n in lengths or [6, 6]])
            norm = norms[real].mean().cpu()
            torch.testing.assert_close(flow[name][time], norm, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", CELLS)
def test_of_every_cell_in_a_model(name):
    torch.manual_seed(0)
    model, x, lengths = Reader(CELLS[name], bidirectional=True), torch.randn(3, 5, 2), [5, 3, 2]
    by_name = gradient_flow(model, lambda: model(x, lengths))
    for flow in by_name.values():
        assert flow.shape == (5,) and flow.isfinite().all() and (flow > 0).all()
    # Padding is of no step: each sequence alone has the same norms, averaged where it is.
    alone = [
        gradient_flow(model, lambda r=r, n=n: model(x[r : r + 1, :n]))
        for r, n in enumerate(lengths)
    ]
    for key, flow in by_name.items():
        for time in range(5):
            there = [each[key][time] for each in alone if len(each[key]) > time]
            torch.testing.assert_close(flow[time], torch.stack(there).mean())


def test_a_kernel_gives_what_the_cell_gives():
    torch.manual_seed(0)
    kernel, cell = Reader("lstm", num_layers=2), Reader(LSTMCell, num_layers=2)
    cell.inner["recurrent"].load_state_dict(
        {k.removeprefix("kernel."): v for k, v in kernel.inner["recurrent"].state_dict().items()}
    )
    cell.output = kernel.output
    x = torch.randn(3, T, 2)
    flows = [gradient_flow(model, lambda model=model: model(x)) for model in (kernel, cell)]
    torch.testing.assert_close(*flows)


def test_nothing_changes():
    torch.manual_seed(0)
    model = Reader("lstm", num_layers=2, dropout=0.5)
    model.norm = nn.BatchNorm1d(2)
    x = torch.randn(3, T, 2)

    def loss():
        return model(model.norm(x.transpose(1, 2)).transpose(1, 2))

    def everything():
        state = {name: each.clone() for name, each in model.state_dict().items()}
        attributes = [sorted(m.__dict__) for m in model.modules()]
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
        return state | {"rng": torch.get_rng_state()}, attributes, hooks

    loss().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    cells = model.inner["recurrent"]._kernel_cells
    before, names = everything(), [sorted(cell.__dict__) for cell in cells]
    gradient_flow(model, loss)
    with pytest.raises(RuntimeError, match="on the way"):
        gradient_flow(model, lambda: (loss(), (_ for _ in ()).throw(RuntimeError("on the way"))))
    after = everything()
    assert before[1:] == after[1:] and names == [sorted(cell.__dict__) for cell in cells]
    torch.testing.assert_close(before[0], after[0], rtol=0, atol=0)
    torch.testing.assert_close(gradients, [p.grad for p in model.parameters()], rtol=0, atol=0)


def test_of_a_language_model_whose_weights_are_frozen():
    torch.manual_seed(0)
    how = {"embedding_size": 6, "hidden_size": H, "cell": "gru", "num_layers": 2, "rows": 2}
    torch.set_default_dtype(torch.float32)  # that of its loss; the fixture sets it back
    model = LanguageModel(12, **how)
    within = {"rtol": rounding(100), "atol": rounding(100)}
    batch = TextBatch(torch.randint(4, 12, (2, T)), torch.randint(4, 12, (2, T)))
    carried = [part.clone() for part in model.carried.buffers()]
    flow = gradient_flow(model, lambda: model.loss(batch).value)
    assert list(flow) == ["recurrent.l0", "recurrent.l1"]
    assert all(each.shape == (T,) and (each > 0).all() for each in flow.values())
    torch.testing.assert_close(list(model.carried.buffers()), carried)
    # Of the top layer's last state, only the last token's loss is made.
    logits, _ = model(batch.tokens)
    error = logits[:, -1].softmax(1) - nn.functional.one_hot(batch.targets[:, -1], 12)
    expected = (error @ model.output.weight / (2 * T)).norm(dim=1).mean()
    torch.testing.assert_close(flow["recurrent.l1"][-1], expected.detach().cpu(), **within)
    model.requires_grad_(False)
    with torch.no_grad():
        again = gradient_flow(model, lambda: model.loss(batch).value)
    torch.testing.assert_close(again, flow, **within)


def test_what_has_all_but_vanished_is_not_zero():
    flow = gradient_flow(linear(1e-3), torch.ones(1, T, 1))
    torch.testing.assert_close(flow[0], torch.tensor(H**0.5 * 1e-21))
    with torch.no_grad():
        single = linear(1e-3, lambda: Recurrent("rnn_relu", 1, H)).float()
    x = torch.ones(1, 13, 1, dtype=torch.float32)
    assert gradient_flow(single, lambda: single(x)[0][:, -1].sum())["l0"][0] > 1e-37


def test_several_runs_follow_each_other():
    torch.manual_seed(0)
    model, x = Reader(), torch.randn(2, T, 2)
    whole = gradient_flow(model, lambda: model(x))
    network = model.inner["recurrent"]

    def in_parts():
        first, state = network(x[:, :3])
        return model.output(torch.cat([first, network(x[:, 3:], state=state)[0]], 1)).sum()

    torch.testing.assert_close(gradient_flow(model, in_parts), whole)


def test_a_loss_without_recurrence_is_refused():
    model, other = Reader(), Reader()
    for loss in (lambda: model.output.weight.sum(), lambda: other(torch.ones(1, T, 2))):
        with pytest.raises(ValueError, match="does not depend"):
            gradient_flow(model, loss)


@pytest.mark.parametrize("deferred", [False, True])
def test_a_network_that_runs_step_by_step(deferred):
    torch.manual_seed(0)
    network, x = Recurrent("lstm", 2, H, num_layers=2), torch.randn(3, T, 2)

    def by_steps():
        loop = network.deferred() if deferred else network
        state = network.initial_state(3, x)
        for x_t in x.unbind(1):
            output, state = loop.step(x_t, state)
        return output.sum()

    whole = gradient_flow(network, lambda: network(x)[0][:, -1].sum())
    torch.testing.assert_close(gradient_flow(network, by_steps), whole)


@pytest.mark.parametrize("how", [
    {"go_backwards": True},
    {"return_sequences": False, "merge": "sum", "bidirectional": True},
    {"connections": "residual", "num_layers": 2},
    {"connections": "dense", "num_layers": 2},
    {"zoneout": 0.5, "recurrent_dropout": 0.5},
    {"learn_initial_state": True, "mode": "loop"},
])  # fmt: skip
def test_with_the_options_of_recurrent(how):
    """What is zoned out keeps its state: the gradient goes round the gates."""
    torch.manual_seed(0)
    network, x = Recurrent("lstm", 2, H, **how), torch.randn(3, T, 2)
    flow = gradient_flow(network, lambda: network(x)[0].sum())
    assert all(each.shape == (T,) and (each > 0).all() for each in flow.values())
    if how.get("go_backwards"):
        forwards = Recurrent("lstm", 2, H)
        forwards.load_state_dict(network.state_dict())
        mirrored = gradient_flow(forwards, lambda: forwards(x.flip(1))[0].sum())
        torch.testing.assert_close(flow["l0"], mirrored["l0"].flip(0))


def test_steps_are_counted_from_a_reset_and_without_holes():
    torch.manual_seed(0)
    network, x = Recurrent(MinGRUCell, 2, H, mode="parallel"), torch.randn(1, 6, 2)
    mask = torch.tensor([[False, True, True, False, True, True]])
    whole = gradient_flow(network, lambda: network(x[mask].unsqueeze(0))[0].sum())["l0"]
    holes = gradient_flow(network, lambda: network(x, mask=mask)[0].sum())["l0"]
    torch.testing.assert_close(holes[:4], whole)
    assert (holes[4:] == 0).all()
    resets = torch.tensor([[False, False, False, True, False, False]])
    halves = [gradient_flow(network, lambda p=p: network(p)[0].sum())["l0"] for p in x.split(3, 1)]
    found = gradient_flow(network, lambda: network(x, resets=resets)[0].sum())["l0"]
    torch.testing.assert_close(found, sum(halves) / 2)


def test_of_an_encoder_and_a_decoder_with_attention():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    decoder = RecurrentDecoder(12, 6, H, 2 * H, memory_size=2 * H, cell="gru", attention="additive")

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Recurrent("gru", 2, H, bidirectional=True)
            self.decoder = decoder

        def forward(self, x, tokens):
            memory, _ = self.encoder(x)
            return self.decoder(Context(memory.sum(1), memory), tokens)

    model, x, tokens = Translator(), torch.randn(2, 5, 2), torch.randint(4, 12, (2, 7))
    flow = gradient_flow(model, lambda: model(x, tokens).sum())
    steps = {name: len(each) for name, each in flow.items()}
    assert steps.pop("encoder.l0") == steps.pop("encoder.l0_reverse") == 5
    assert list(steps.values()) == [7] and all((each > 0).all() for each in flow.values())
