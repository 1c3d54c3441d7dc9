"""Deferred gradients equal the ordinary ones, however backward runs."""

import gc
import weakref

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from common.recurrent.deferred import DeferredLinear, DeferredMixture

STEPS = 5


def make() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    weight = torch.randn(4, 4, dtype=torch.double, requires_grad=True)
    bias = torch.randn(4, dtype=torch.double, requires_grad=True)
    return weight, bias, torch.randn(3, 4, dtype=torch.double, requires_grad=True)


def loop(product, h: Tensor) -> list[Tensor]:
    """h' = tanh(product(h)), and what every step returned."""
    states = []
    for _ in range(STEPS):
        h = product(h).tanh()
        states.append(h)
    return states


def test_gradients_equal_the_ordinary_ones():
    weight, bias, h = make()
    plain = loop(lambda x: F.linear(x, weight, bias), h)[-1].sum()
    ours = loop(DeferredLinear(weight, bias), h)[-1].sum()
    expected = torch.autograd.grad(plain, (weight, bias, h))
    torch.testing.assert_close(torch.autograd.grad(ours, (weight, bias, h)), expected)


def test_backward_may_run_several_times_and_through_some_steps_only():
    weight, bias, h = make()
    states = loop(DeferredLinear(weight, bias), h)
    plain = loop(lambda x: F.linear(x, weight, bias), h)
    # Without the weight: what these steps leave behind must not enter a later weight gradient.
    torch.autograd.grad(states[-1].sum(), h, retain_graph=True)
    for step in (1, 3, 1):
        ours = torch.autograd.grad(states[step].sum(), (weight, bias), retain_graph=True)
        expected = torch.autograd.grad(plain[step].sum(), (weight, bias), retain_graph=True)
        torch.testing.assert_close(ours, expected)


def test_columns_of_a_weight_get_their_gradient():
    weight, _, h = make()
    x = h[:, :2].detach()
    ours = DeferredLinear(weight[:, 1:3])
    torch.autograd.backward([(ours(x) * k).sum() for k in (1.0, 2.0)])
    expected = torch.zeros_like(weight)
    expected[:, 1:3] = 3 * x.sum(0)
    torch.testing.assert_close(weight.grad, expected)


def test_inputs_may_have_several_batch_dimensions():
    weight, bias, _ = make()
    x = torch.randn(2, 3, 4, dtype=torch.double)
    DeferredLinear(weight, bias)(x).pow(2).sum().backward()
    expected = torch.autograd.grad(F.linear(x, weight, bias).pow(2).sum(), (weight, bias))
    torch.testing.assert_close((weight.grad, bias.grad), expected)


def test_a_frozen_weight_still_passes_gradients_on():
    weight, bias, h = make()
    weight.requires_grad_(False)
    (gradient,) = torch.autograd.grad(DeferredLinear(weight)(h).sum(), h)
    torch.testing.assert_close(gradient, weight.sum(0).expand(3, 4))
    (gradient,) = torch.autograd.grad(DeferredLinear(weight, bias)(h).sum(), bias)
    torch.testing.assert_close(gradient, torch.full((4,), 3.0, dtype=torch.double))


def test_a_product_made_without_gradients_has_them_when_called_with():
    weight, _, h = make()
    with torch.no_grad():
        product = DeferredLinear(weight)
        assert not product(h).requires_grad
    product(h).sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_a_second_derivative_equals_the_ordinary_one():
    weight, bias, h = make()
    results = []
    for product in (DeferredLinear(weight, bias), lambda x: F.linear(x, weight, bias)):
        loss = loop(product, h)[-1].sum()
        firsts = torch.autograd.grad(loss, (weight, bias, h), create_graph=True)
        penalty = sum(first.pow(2).sum() for first in firsts)
        results.append((firsts, torch.autograd.grad(penalty, (weight, bias, h))))
    torch.testing.assert_close(results[0], results[1])


def test_changing_the_weight_before_backward_is_noticed():
    weight, bias, h = make()
    loss = DeferredLinear(weight, bias)(h).sum()
    with torch.no_grad():
        weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("backward", ["none", "without weight", "all"])
def test_nothing_keeps_the_graph_alive(backward):
    weight, bias, h = make()
    states = loop(DeferredLinear(weight, bias), h)
    inner = weakref.ref(states[2])
    if backward == "all":
        states[-1].sum().backward()
    elif backward == "without weight":
        torch.autograd.grad(states[-1].sum(), h, retain_graph=True)
    gc.disable()
    try:
        del states
        assert inner() is None
    finally:
        gc.enable()


def test_under_autocast_the_weight_is_cast_once():
    torch.manual_seed(0)
    weight = (torch.randn(8, 8) / 8).requires_grad_()
    h = torch.randn(3, 8)
    casts = []

    class Counter(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if "_to_copy" in str(function) and args[0].shape == weight.shape:
                casts.append(function)
            return function(*args, **(kwargs or {}))

    with Counter(), torch.autocast(h.device.type, torch.bfloat16):
        state = loop(DeferredLinear(weight), h)[-1]
    assert state.dtype == torch.bfloat16 and len(casts) == 1
    state.float().sum().backward()
    expected = torch.autograd.grad(loop(lambda x: F.linear(x, weight), h)[-1].sum(), weight)
    assert weight.grad.dtype == torch.float32
    # Each step rounds to bfloat16 once, here and there.
    error = STEPS * torch.finfo(torch.bfloat16).eps / 2
    torch.testing.assert_close((weight.grad,), expected, rtol=error, atol=error)


def mixed(memory, first, *, defer: bool):
    """A loop whose every step's weights depend on what the step before read."""
    mixture = DeferredMixture() if defer else torch.bmm
    weights, read = first, None
    for _ in range(4):
        read = mixture(weights, memory)  # (B, Q, M)
        weights = (read @ memory.transpose(1, 2)).softmax(-1)
    return read


def test_a_mixture_equals_the_plain_product_and_its_gradients():
    memory = torch.randn(3, 5, 4, dtype=torch.double, requires_grad=True)
    first = torch.rand(3, 2, 5, dtype=torch.double, requires_grad=True)
    expected, read = (mixed(memory, first, defer=defer) for defer in (False, True))
    torch.testing.assert_close(read, expected)
    plain = torch.autograd.grad(expected.square().sum(), (memory, first))
    for _ in range(2):  # twice through one graph
        once = torch.autograd.grad(read.square().sum(), (memory, first), retain_graph=True)
        torch.testing.assert_close(once, plain)
    leaves = [t[:1].detach().requires_grad_() for t in (memory, first)]
    assert torch.autograd.gradgradcheck(lambda m, w: mixed(m, w, defer=True), leaves)


def test_a_mixture_of_a_memory_without_gradients():
    memory = torch.randn(2, 3, 4, dtype=torch.double)
    weights = torch.rand(2, 1, 3, dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(DeferredMixture()(weights, memory).sum(), weights)
    torch.testing.assert_close(gradient, memory.sum(-1).unsqueeze(1))


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("trained", [True, False])
def test_a_product_is_added_to_what_is_given(with_bias, trained):
    weight, bias, h = make()
    weight.requires_grad_(trained)
    bias = bias if with_bias else None
    onto = torch.randn(3, 4, dtype=torch.double, requires_grad=True)
    ours = DeferredLinear(weight, bias)(h, onto)
    plain = onto + F.linear(h, weight, bias)
    torch.testing.assert_close(ours, plain)
    leaves = [each for each in (weight, bias, h, onto) if each is not None and each.requires_grad]
    expected = torch.autograd.grad(plain.pow(2).sum(), leaves)
    torch.testing.assert_close(torch.autograd.grad(ours.pow(2).sum(), leaves), expected)
