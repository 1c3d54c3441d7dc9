"""Beam search: batched, finished sentences pruned, against one sentence at a time.

Every sentence has its own maximum length, as captions do; both must find the same captions, which is
checked.
"""

from __future__ import annotations

from functools import partial

import torch

from common.decoding import BeamSearch, Context, RecurrentDecoder
from common.text.vocabulary import BOS, EOS
from experiments.benchmarks.harness import CPU, Comparison, compare


def batched_beam(
    sentences: int = 32,
    beam_size: int = 5,
    vocabulary: int = 10_000,
    rounds: int = 3,
    device: torch.device = CPU,
) -> Comparison:
    """GRU 512 with additive attention over 49 regions, vocabulary 10,000."""
    torch.manual_seed(0)
    decoder = RecurrentDecoder(
        vocabulary, 256, 512, 512, memory_size=512, inject=["init"], attention="additive"
    )
    decoder = decoder.to(device).eval()
    context = Context(
        torch.randn(sentences, 512).to(device), torch.randn(sentences, 49, 512).to(device)
    )
    lengths = torch.randn(sentences).mul(3).add(11).round().clamp(4, 24).long()

    search = partial(BeamSearch(beam_size=beam_size), decoder, bos=BOS, eos=EOS, pad=None)

    def one_by_one() -> list[list[int]]:
        found = []
        for row in range(sentences):
            alone = context.select(torch.tensor([row], device=device))
            length = int(lengths[row])
            (hypotheses,) = search(alone, max_length=length)
            found.append(hypotheses[0].tokens)
        return found

    def batched() -> list[list[int]]:
        found = search(context, max_length=lengths)
        return [hypotheses[0].tokens for hypotheses in found]

    with torch.no_grad():
        same = sum(a == b for a, b in zip(one_by_one(), batched(), strict=True))
        if same < sentences:
            raise RuntimeError(f"only {same} of {sentences} captions agree")
        return compare(
            f"beam {beam_size}, {sentences} captions",
            {"one sentence at a time": one_by_one, "batched, pruned": batched},
            rounds=rounds,
            bar="at least 2.5x, the same captions",
            device=device,
        )
