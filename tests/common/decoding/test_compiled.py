"""A compiled decoder learns as one that is not compiled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from common.decoding.context import Context
from common.decoding.decoder import RecurrentDecoder
from common.recurrent import GRUCell


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm", {"attention": "additive"}),
        ("gru", {"attention": "general", "attend": "after", "input_feeding": True}),
        (GRUCell, {"attention": "additive", "deep_output": True}),
    ],
    ids=["kernel, before", "kernel, after", "own cell"],
)
def test_the_gradients_of_a_compiled_decoder_are_those_of_the_decoder(cell, options):
    torch.manual_seed(0)
    decoder = RecurrentDecoder(11, 6, 8, context_size=7, memory_size=5, cell=cell, **options)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    context = Context(vector=torch.randn(2, 7), memory=torch.randn(2, 4, 5), mask=mask)
    tokens = torch.randint(0, 11, (2, 5))

    def results(call: Callable) -> dict[str, Tensor]:
        decoder.zero_grad()
        logits = call(context, tokens)[0]
        logits.pow(2).sum().backward()
        found = {name: each.grad for name, each in decoder.named_parameters()}
        assert all(gradient is not None for gradient in found.values())
        return {name: gradient.clone() for name, gradient in found.items()} | {"logits": logits}

    torch._dynamo.reset()
    expected = results(decoder)
    for name, value in results(torch.compile(decoder, backend="aot_eager")).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4, msg=name)
