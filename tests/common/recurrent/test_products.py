"""Our matrix product is F.linear, by whichever library."""

import pytest
import torch
from torch.nn import functional as F

from common.recurrent import Recurrent, linear, products

has_onednn = hasattr(torch.ops.mkldnn, "_linear_pointwise") and torch.backends.mkldnn.is_available()
every_library = pytest.mark.parametrize(
    "mkl_is_slow",
    [False, pytest.param(True, marks=pytest.mark.skipif(not has_onednn, reason="no oneDNN"))],
)


@every_library
@pytest.mark.parametrize("shape", [(40, 6), (3, 40, 6), (2, 6), (0, 6)])
@pytest.mark.parametrize("bias", [False, True])
def test_values_and_both_derivatives_equal_torchs(monkeypatch, mkl_is_slow, shape, bias):
    monkeypatch.setattr(products, "_mkl_is_slow", lambda: mkl_is_slow)
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    weight, b = torch.randn(5, 6, requires_grad=True), torch.randn(5, requires_grad=True)
    wanted = (x, weight, b) if bias else (x, weight)
    results = []
    for product in (linear, F.linear):
        y = product(x, weight, b if bias else None)
        firsts = torch.autograd.grad(y.tanh().sum(), wanted, create_graph=True)
        seconds = torch.autograd.grad(sum(first.pow(2).sum() for first in firsts), wanted)
        results.append((y, firsts, seconds))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)


@every_library
def test_parts_of_a_weight_and_transposed_inputs(monkeypatch, mkl_is_slow):
    monkeypatch.setattr(products, "_mkl_is_slow", lambda: mkl_is_slow)
    weight, x = torch.randn(7, 20), torch.randn(12, 40)
    part = weight[:, 3:15]
    torch.testing.assert_close(linear(x.t(), part), F.linear(x.t(), part), rtol=1e-4, atol=1e-4)


@every_library
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", ["rnn", "rnn_relu", "gru", "lstm"])
def test_a_network_computes_the_same_on_either(monkeypatch, mkl_is_slow, name, ragged):
    torch.manual_seed(0)
    network = Recurrent(name, 6, 5, num_layers=2, bidirectional=True)
    x = torch.randn(16, 7, 6, requires_grad=True)
    lengths = torch.randint(1, 8, (16,)) if ragged else None
    results = []
    for slow in (mkl_is_slow, False):
        monkeypatch.setattr(products, "_mkl_is_slow", lambda slow=slow: slow)
        outputs, state = network(x, lengths)
        loss = outputs.pow(2).sum() + sum(part.sin().sum() for part in state)
        results.append((outputs, state, torch.autograd.grad(loss, [x, *network.parameters()])))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)
