"""Masks, resets and what is dropped, in what torch.compile, torch.export and torch.func make of them."""

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from common.recurrent import Recurrent
from tests.common.recurrent.cells import CELLS

MASK = torch.tensor([[False, True, True, False, True], [True, False, True, False, False]])
RESETS = torch.tensor([[False, False, True, False, False], [True, False, True, False, False]])
some_cells = pytest.mark.parametrize(
    "cell, options",
    [
        ("gru", {"num_layers": 2, "bidirectional": True}),
        ("lstm", {"hidden_size": [4, 3], "connections": "dense", "learn_initial_state": True}),
        (CELLS["layer_norm_lstm"], {"num_layers": 2, "connections": "residual"}),
        (CELLS["min_gru"], {"num_layers": 2}),
        (CELLS["hgrn"], {"mode": "parallel", "bidirectional": True, "merge": "sum"}),
    ],
)


def make(cell, options: dict) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, 3, **{"hidden_size": 4} | options)


def results(network: Recurrent, call, x: Tensor, **said) -> list[Tensor]:
    outputs, _ = call(x, **said)
    wanted = list(network.parameters())
    return [outputs, *torch.autograd.grad(outputs.square().sum(), wanted, materialize_grads=True)]


@pytest.mark.compiler
@some_cells
def test_compiled_with_masks_it_has_the_same_gradients(cell, options):
    torch._dynamo.reset()
    network, x = make(cell, options), torch.randn(2, 5, 3)
    compiled = torch.compile(network, backend="aot_eager")
    said = {"mask": MASK, "resets": RESETS if cell in ("lstm", CELLS["min_gru"]) else None}
    torch.testing.assert_close(
        results(network, compiled, x, **said), results(network, network, x, **said)
    )


@pytest.mark.compiler
@pytest.mark.parametrize("cell", ["gru", CELLS["lem"]])
def test_what_is_dropped_trains_when_compiled(cell):
    """Its numbers are drawn by the compiled graph: they are others, as far as is known."""
    torch._dynamo.reset()
    options = {
        "input_dropout": 0.2,
        "recurrent_dropout": 0.2,
        "weight_dropout": 0.2,
        "zoneout": 0.1,
    }
    network, x = make(cell, options), torch.randn(2, 5, 3)
    compiled = torch.compile(network, backend="aot_eager")
    outputs, *gradients = results(network, compiled, x)
    assert not torch.equal(outputs, compiled(x)[0])
    assert all(each.isfinite().all() and each.abs().sum() > 0 for each in gradients)
    network.eval()
    torch.testing.assert_close(compiled(x), network(x))


@pytest.mark.compiler
@some_cells
def test_exported_with_a_mask_it_takes_any_number_of_steps(cell, options):
    network = make(cell, options).eval()
    batch, steps = (torch.export.Dim(each, min=2, max=1000) for each in ("batch", "steps"))
    said = {"mask": MASK}
    shapes = {"inputs": {0: batch, 1: steps}, "mask": {0: batch, 1: steps}}
    with torch.no_grad():
        exported = torch.export.export(
            network, (torch.randn(2, 5, 3),), said, dynamic_shapes=shapes
        ).module()
        for count, length in ((3, 9), (4, 2)):
            x, mask = torch.randn(count, length, 3), torch.rand(count, length) < 0.5
            torch.testing.assert_close(exported(x, mask=mask)[0], network(x, mask=mask)[0])


@some_cells
def test_a_mask_under_vmap(cell, options):
    network, several = make(cell, options), torch.randn(3, 2, 5, 3)
    outputs = vmap(lambda x: network(x, mask=MASK)[0])(several)
    torch.testing.assert_close(outputs[1], network(several[1], mask=MASK)[0])
    with pytest.raises(ValueError, match="resets are not for"):
        vmap(lambda x: network(x, resets=RESETS)[0])(several)
