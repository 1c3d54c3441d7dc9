"""Scheduled sampling: while it trains, a decoder is sometimes fed its own prediction.

Under teacher forcing a decoder never meets its own mistakes, which a search feeds back to it. Bengio et
al. 2015 (arXiv:1506.03099) therefore feed the reference token with a probability that falls over the
updates, and otherwise what the model itself predicted at the step before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from common.compute.device import upload

# The teacher-forcing ratio over time: of the training batches so far, the probability of feeding the
# reference token.
Ratio: TypeAlias = Callable[[int], float]


def constant_ratio(value: float) -> Ratio:
    """The same ratio throughout: the "teacher forcing ratio" of tutorials.

    Raises:
        ValueError: it is no probability, here and below.
    """
    _check_probability("the teacher-forcing ratio", value)
    return lambda step: value


def linear_ratio(steps: int, floor: float = 0.0) -> Ratio:
    """From 1 down to a floor in a straight line, which would reach 0 after `steps` batches:
    max(floor, 1 - step / steps)."""
    _check_probability("floor", floor)
    if steps < 1:
        raise ValueError(f"steps is at least 1, not {steps}")
    return lambda step: max(floor, 1 - step / steps)


def exponential_ratio(k: float, floor: float = 0.0) -> Ratio:
    """k ** step, down to a floor; k is below 1: 0.9999 halves the ratio in about 7,000 batches."""
    _check_probability("floor", floor)
    if not 0 < k < 1:
        raise ValueError(f"k is between 0 and 1, not {k}")
    return lambda step: max(floor, k**step)


def inverse_sigmoid_ratio(half_life: float, floor: float = 0.0) -> Ratio:
    """k / (k + exp(step / k)): near 1 for long, then falling quickly, down to a floor.

    Args:
        half_life: batches after which the ratio is one half: k log k, for a k of at least 1.
        floor: the ratio is never lower.
    """
    _check_probability("floor", floor)
    if half_life < 0:
        raise ValueError(f"half_life is at least 0, not {half_life}")
    k = max(float(half_life), 2.0)
    for _ in range(50):  # Newton's method; k log k is convex, so it converges from above
        k -= (k * math.log(k) - half_life) / (math.log(k) + 1)

    def ratio(step: int) -> float:
        exponent = step / k - math.log(k)
        # exp(700) is nearly the largest float: far beyond it the ratio is 0 anyway.
        return max(floor, 1 / (1 + math.exp(min(exponent, 700.0))))

    return ratio


class SampledInputs(NamedTuple):
    """Where a pass over all steps feeds the model's own predictions, and how they are chosen.

    Args:
        where: (B, T) True where the token fed at that step is the model's prediction; on the CPU.
        choose: from the logits (N, V) of the step before to N tokens (N,).
    """

    where: Tensor
    choose: Callable[[Tensor], Tensor]

    def rows(self, device: torch.device) -> list[Tensor]:
        """For each of the T steps the sentences (N,) that are fed a prediction.

        The host knows how many they are at each step: all go to the device in one copy, and nothing
        waits for it.
        """
        steps, rows = self.where.t().nonzero(as_tuple=True)  # in the order of the steps
        counts = torch.bincount(steps, minlength=self.where.shape[1]).tolist()
        return list(upload(rows, device).split(counts))


class ScheduledSampling(nn.Module):
    """Decides where the model is fed its own predictions, and counts the batches for its ratio.

    The count is part of the state dict, so that a resumed training goes on where it was; it is the
    only thing here that changes. (With gradient accumulation several batches make one update.)

    Args:
        ratio: the probability of the reference token after so many training batches; a function
            of their number, as `linear_ratio` and the others above make it.
        per: decide for every "token" (Bengio et al.), or once for a "sentence", all of whose tokens
            are then predictions, or none.
        words: the prediction is the "likeliest" token, or one "sampled" from the distribution.
        forbidden: ids that are never predicted: padding, the start token.

    Raises:
        ValueError: an unknown choice.
    """

    def __init__(
        self,
        ratio: Ratio,
        *,
        per: Literal["token", "sentence"] = "token",
        words: Literal["likeliest", "sampled"] = "likeliest",
        forbidden: Collection[int] = (),
    ) -> None:
        super().__init__()
        if per not in ("token", "sentence"):
            raise ValueError(f"per is 'token' or 'sentence', not {per!r}")
        if words not in ("likeliest", "sampled"):
            raise ValueError(f"words is 'likeliest' or 'sampled', not {words!r}")
        self.ratio = ratio
        self.per = per
        self.words = words
        self.forbidden = list(forbidden)
        self.batches = 0

    def extra_repr(self) -> str:
        return f"per={self.per!r}, words={self.words!r}"

    def draw(self, batch: int, steps: int) -> SampledInputs | None:
        """Decide for one training batch, and count it.

        The random numbers come from PyTorch's generator on the CPU: a GPU need not be waited for to
        know which steps have tokens to choose.

        Args:
            batch: B sentences.
            steps: T tokens of each; the first is the start token, and stays.

        Returns:
            What `RecurrentDecoder.unroll` takes; None where the reference is fed everywhere, which is
            teacher forcing, in one fast pass.
        """
        ratio = self.ratio(self.batches)
        self.batches += 1
        if ratio >= 1:
            return None
        numbers = torch.rand(batch, steps if self.per == "token" else 1, device="cpu")
        where = (numbers >= ratio).expand(batch, steps).clone()
        where[:, :1] = False
        return SampledInputs(where, self.choose) if where.any() else None

    def choose(self, logits: Tensor) -> Tensor:
        """logits: (N, V). Returns the predicted tokens (N,). Nothing waits for the device."""
        logits = logits.to(torch.float32, copy=True)
        for token in self.forbidden:  # one by one: an index made of a list would be an upload
            logits[:, token] = -torch.inf
        if self.words == "likeliest":
            return logits.argmax(dim=1)
        # What `torch.multinomial` computes, which first waits for the device to check its input.
        probabilities = logits.softmax(dim=1)
        return (probabilities / torch.empty_like(probabilities).exponential_()).argmax(dim=1)

    # A number in the state dict and no buffer: reading a buffer would wait for the GPU it is on.

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.batches, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        self.batches = int(state)


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a probability, not {value}")
