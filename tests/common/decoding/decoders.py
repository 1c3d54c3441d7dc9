"""Small decoders in float64, so that two routes to one number agree as far as any test looks."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from common.decoding import AdditiveAttention, Context, RecurrentDecoder
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.recurrent import GRUCell
from tests.common.decoding.test_new_attention import CoverageAttention
from tests.common.recurrent.test_new_cell import FastWeights
from tests.devices import drawn

B, T, S, V, E, H, C, M = 3, 5, 4, 11, 6, 8, 7, 8
SENTENCES = [[4, 5, 6, 7], [7, 7], [8, 9, 10, 4, 5]]

INJECTIONS = [("init",), ("first",), ("every",), ("output",), ("init", "first", "every", "output")]
ATTENTIONS: list[dict[str, Any]] = [{}] + [
    {"attention": kind, "attend": attend}
    for kind in ("additive", "dot", "general", "concat")
    for attend in ("before", "after")
]
OPEN: dict[str, dict[str, Any]] = {  # with cells and attentions that the tests define
    "coverage_before": {"attention": CoverageAttention},
    "coverage_after": {"attention": CoverageAttention, "attend": "after", "gate": True},
    "coverage_fed": {"attention": CoverageAttention, "attend": "after", "input_feeding": True},
    "factory": {"attention": partial(AdditiveAttention, attention_size=3)},
    "fast_weights": {"cell": FastWeights, "num_layers": 2, "attention": "general"},
    "fast_weights_only": {"cell": FastWeights, "inject": ("first", "output")},
    "both": {
        "cell": FastWeights, "attention": CoverageAttention, "attend": "after",
        "input_feeding": True, "inject": ("init", "first", "every", "output"),
    },
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = OPEN | {
    "two_layers": {"num_layers": 2, "attention": "additive"},
    "two_layers_after": {
        "num_layers": 2, "attention": "general", "attend": "after", "cell": "lstm"
    },
    "gate": {"attention": "additive", "gate": True, "deep_output": True, "readout": "maxout"},
    "gate_after": {"attention": "general", "attend": "after", "gate": True, "readout": "linear"},
    "query_word": {"attention": "additive", "query_word": True, "inject": ("first",)},
    "query_word_gate": {"attention": "general", "query_word": True, "num_layers": 2, "gate": True},
    "tied": {"tie_embeddings": True, "readout_size": E},
    "maxout": {"readout": "maxout", "readout_size": 5},
    "cho_2014": {
        "cell": partial(GRUCell, reset_after=False), "inject": ("init", "every", "output"),
        "readout": "maxout", "deep_output": True,
    },
    "sutskever_2014": {"cell": "lstm", "num_layers": 2, "inject": ("init",)},
    "input_feeding": {
        "attention": "general", "attend": "after", "input_feeding": True, "num_layers": 2
    },
    "input_feeding_tied": {
        "attention": "dot", "attend": "after", "input_feeding": True, "deep_output": True,
        "tie_embeddings": True, "inject": ("first", "every", "output"),
    },
    "attention_only": {"context_size": None, "inject": (), "attention": "additive"},
    "language_model": {"context_size": None, "inject": ()},
}  # fmt: skip


def normal(*shape: int, seed: int | torch.Generator = 0) -> Tensor:
    return drawn(torch.randn, shape, seed=seed, dtype=torch.double)


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """A vector (B, C), a memory (B, S, M), and its mask."""
    mask = torch.arange(S) < torch.tensor([4, 2, 3]).unsqueeze(1)
    return normal(B, C, seed=1), normal(B, S, M, seed=2), mask


def make_context() -> Context:
    return Context(*make_inputs())


def make_tokens(batch: int = B, steps: int = T) -> Tensor:
    return drawn(torch.randint, 4, V, (batch, steps), seed=2)


def make_decoder(scale: float = 1.0, **options: Any) -> RecurrentDecoder:
    """In evaluation mode; weights are multiplied by `scale`: at 2, it is far from linear."""
    options = {"inject": ("init", "every"), "context_size": C, "memory_size": M} | options
    decoder = RecurrentDecoder(V, E, H, **options).double().eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(scale)
    return decoder


def make_model(options: dict[str, Any], **others: Any) -> EncoderDecoder:
    """A model whose encoder makes a context of its inputs."""
    return EncoderDecoder(lambda *parts: Context(*parts), make_decoder(2, **options), **others)


def collate(inputs: tuple[Tensor, ...], sentences: list[list[int]]) -> Batch:
    return Batch.collate(inputs, sentences).to(torch.get_default_device())
