"""An example: a new constraint is a function of the tokens so far; any search takes it."""

from __future__ import annotations

import itertools

import pytest
import torch

from common.decoding import BeamSearch, Context, Greedy, RecurrentDecoder, Sampling
from common.text.vocabulary import BOS, EOS


class Ascending:
    """Each token is larger than the one before it, and no larger than a limit of its sentence.

    Args:
        limits: (B,) the largest token of each sentence.
        eos: is always allowed.
    """

    def __init__(self, limits: torch.Tensor, eos: int) -> None:
        self.limits = limits
        self.eos = eos

    def __call__(
        self, tokens: torch.Tensor, sentences: torch.Tensor, logits: torch.Tensor
    ) -> torch.Tensor:
        ids = torch.arange(logits.shape[1])
        forbidden = ids > self.limits[sentences].unsqueeze(1)  # (R, V)
        if tokens.shape[1]:
            forbidden |= ids <= tokens[:, -1:]
        return logits.masked_fill(forbidden & (ids != self.eos), -torch.inf)


@pytest.mark.parametrize(
    "search", [Greedy(max_length=9), BeamSearch(n_best=3), Sampling(num_samples=4)], ids=str
)
def test_every_hypothesis_holds_to_it(search):
    decoder = RecurrentDecoder(30, 8, 8, 5).eval()
    with torch.no_grad():
        decoder.output.weight.mul_(9)
    context, limits = Context(torch.randn(6, 5)), torch.tensor([5, 9, 12, 29, 29, 3])
    found = search(decoder, context, bos=BOS, eos=EOS, constraints=[Ascending(limits, EOS)])
    for limit, hypotheses in zip(limits.tolist(), found, strict=True):
        for hypothesis in hypotheses:
            tokens = hypothesis.tokens
            assert (
                all(a < b for a, b in itertools.pairwise(tokens))
                and max(tokens, default=0) <= limit
            )
    plain = search(decoder, context, bos=BOS, eos=EOS)
    assert [best[0].tokens for best in plain] != [best[0].tokens for best in found]
