"""The teacher-forced decoder, which hoists out of the loop over time what it can, against a naive loop.

The naive loop is that of tutorials: at every step it looks up the embedding, projects the memory for
attention, runs a cell, and computes the logits, padding included. Both compute the same loss from the
same weights, which is checked before anything is timed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from common.decoding import Context, RecurrentDecoder
from common.models.encoder_decoder import Batch, EncoderDecoder
from experiments.benchmarks.harness import CPU, Comparison, compare


def naive_loss(decoder: RecurrentDecoder, context: Context, targets: Tensor) -> Tensor:
    """The mean cross-entropy of real tokens, computed step by step with nothing hoisted."""
    state = decoder.start(context)
    logits = []
    for token in targets[:, :-1].unbind(1):
        # The context is not prepared: attention projects the memory again at every step.
        step_logits, state, _ = decoder.step(token, state, context)
        logits.append(step_logits)
    return F.cross_entropy(
        torch.stack(logits, 1).flatten(0, 1), targets[:, 1:].flatten(), ignore_index=0
    )


def attention_decoder(
    regions: int = 49,
    batch: int = 64,
    vocabulary: int = 10_000,
    rounds: int = 5,
    device: torch.device = CPU,
) -> Comparison:
    """LSTM 512 with additive attention, embeddings 256, sentences of 3 to 20 tokens."""
    torch.manual_seed(0)
    decoder = RecurrentDecoder(
        vocabulary,
        256,
        512,
        512,
        memory_size=512,
        cell="lstm",
        inject=["init"],
        attention="additive",
        readout="tanh",
    )
    model = EncoderDecoder(lambda vector, memory: Context(vector, memory), decoder).to(device)
    inputs = (torch.randn(batch, 512), torch.randn(batch, regions, 512))
    lengths = torch.randn(batch).mul(4).add(10.5).round().clamp(2, 19).int().tolist()
    lengths[0] = 19
    sentences = [torch.randint(4, vocabulary, (n,)).tolist() for n in lengths]
    batch_ = Batch.collate(inputs, sentences).to(device)

    def hoisted() -> Tensor:
        return model.loss(batch_).value

    def naive() -> Tensor:
        vector, memory = batch_.inputs
        return naive_loss(decoder, Context(vector, memory), batch_.targets)

    torch.testing.assert_close(hoisted(), naive(), rtol=1e-4, atol=1e-4)
    return compare(
        f"attention decoder, {regions} regions, forward and backward",
        {"naive loop": lambda: naive().backward(), "hoisted": lambda: hoisted().backward()},
        rounds=rounds,
        bar="at least 1.7x" if regions == 49 else "at least 1.5x",
        device=device,
    )


def context_decoder(
    batch: int = 64, vocabulary: int = 6_000, rounds: int = 5, device: torch.device = CPU
) -> Comparison:
    """GRU 256 with the context vector at every step and no attention: one fused call."""
    torch.manual_seed(0)
    decoder = RecurrentDecoder(
        vocabulary, 256, 256, 256, cell="gru", inject=["init", "every", "output"]
    )
    model = EncoderDecoder(lambda vector: Context(vector), decoder).to(device)
    vector = torch.randn(batch, 256)
    lengths = torch.randn(batch).mul(4).add(12).round().clamp(3, 30).int().tolist()
    sentences = [torch.randint(4, vocabulary, (n,)).tolist() for n in lengths]
    batch_ = Batch.collate((vector,), sentences).to(device)

    def fused() -> Tensor:
        return model.loss(batch_).value

    def naive() -> Tensor:
        return naive_loss(decoder, Context(batch_.inputs[0]), batch_.targets)

    torch.testing.assert_close(fused(), naive(), rtol=1e-4, atol=1e-4)
    return compare(
        "attention-free decoder, forward and backward",
        {"naive loop": lambda: naive().backward(), "one fused pass": lambda: fused().backward()},
        rounds=rounds,
        bar="at least 1.7x",
        device=device,
    )
