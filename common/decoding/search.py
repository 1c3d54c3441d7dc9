"""Search strategies: from a context to sentences, greedily, by beam, or by sampling.

A strategy is a value of plain numbers, which JSON can hold and a command line can fill. It is called
on anything that has `start` and `step` (`StepModel`):

    (best,) = BeamSearch(beam_size=5)(decoder, context, bos=1, eos=2)[0]

The three run one loop (`frontier.py`) and differ in which continuations of a sentence's hypotheses they
keep. PyTorch is imported when one is called, and not before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from common.decoding.names import LengthNorm

if TYPE_CHECKING:
    import torch

    from common.decoding.constraints import Constraint, Lengths
    from common.decoding.continuations import Continuations
    from common.decoding.hypotheses import Hypothesis
    from common.decoding.step_model import ContextT, StepModel

LONGEST = 50  # tokens of a sentence, where nothing else bounds it


# Beyond these, memory or the range of numbers ends before a search does.
_MOST = {
    "min_length": 100_000, "max_length": 100_000, "beam_size": 1_000, "num_samples": 100_000,
    "length_penalty": 50, "beam_patience": 1_000,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Search:
    """What all strategies share; `Greedy`, `BeamSearch` and `Sampling` are the strategies.

    Raises:
        ValueError: a number is out of range.
    """

    min_length: int = 0
    """Fewest tokens of a sentence."""
    max_length: int | None = None
    """Most tokens of a sentence, whatever it is written from. By default the training decides: never
    fewer than the longest sentence that was trained on had, in translation for a source of that
    length."""
    length_penalty: float = 0.0
    """Exponent of the length that a sentence's log-probability is divided by; 0 for none."""
    length_norm: LengthNorm = "power"
    """What the length penalty is the exponent of: the length (power), or (5 + length) / 6 (gnmt, Wu et
    al. 2016), which prefers a long sentence that repeats itself less often to a short one."""
    no_repeat_ngram: int = 0
    """Never write the same sequence of so many tokens twice; 0 to allow it."""

    def __post_init__(self) -> None:
        for name, bound in _MOST.items():
            if (getattr(self, name, None) or 0) > bound:
                raise ValueError(f"{name} must be at most {bound:,}, not {getattr(self, name)}")
        most = math.inf if self.max_length is None else self.max_length
        if most < 1:
            raise ValueError(f"max_length must be at least 1, not {self.max_length}")
        if not 0 <= self.min_length <= most:
            raise ValueError(
                f"min_length must lie between 0 and max_length ({most}), not at {self.min_length}"
            )
        if not 0 <= self.length_penalty < math.inf:
            raise ValueError(f"length_penalty must not be negative, not {self.length_penalty}")
        if self.length_norm not in ("power", "gnmt"):
            raise ValueError(f"length_norm is 'power' or 'gnmt', not {self.length_norm!r}")
        if self.no_repeat_ngram < 0:
            raise ValueError(f"no_repeat_ngram must not be negative, not {self.no_repeat_ngram}")

    def __call__(
        self,
        model: StepModel[ContextT],
        context: ContextT,
        *,
        bos: int,
        eos: int,
        pad: int | None = 0,
        constraints: Sequence[Constraint] = (),
        prefixes: Sequence[Sequence[int]] | None = None,
        max_length: Lengths | None = None,
        min_length: Lengths | None = None,
        generator: torch.Generator | None = None,
        prune: bool = True,
        keep_attention: bool = False,
    ) -> list[list[Hypothesis]]:
        """Find sentences for a batch of encoded inputs.

        Args:
            model: gives the next token's logits; in evaluation mode.
            context: B encoded inputs.
            bos, eos: the tokens that start and end every sentence.
            pad: the padding token; like `bos`, it is never generated. None: there is none.
            constraints: more constraints on the tokens; see `Constraint`.
            prefixes: the tokens that each sentence begins with, () for none; they count in its length
                and in its log-probability, which is that of the model.
            max_length, min_length: bounds for each sentence, instead of the strategy's own; the end
                token is not counted.
            generator: source of random numbers, on the model's device. The same state of it, contexts
                and arguments give the same samples on the same kind of device.
            prune: take sentences that are done out of the batch. The answers do not depend on it.
            keep_attention: keep the attention weights of each token (`Hypothesis.attention`).

        Returns:
            For each of the B sentences its hypotheses, best first: finished ones and, if too few have
            ended, the best that were cut off. At least one, always.

        Raises:
            ValueError: bounds that contradict each other, a prefix that is longer than its sentence may
                be, or logits that are not numbers.
        """
        from common.decoding.constraints import (
            Forbidden,
            ForcedPrefixes,
            MinimumLength,
            NoRepeatedNgrams,
            check_prefixes,
            one_for_each,
        )
        from common.decoding.frontier import Rules, run_search

        batch = context.batch_size
        if batch == 0:
            return []
        if max_length is None:
            max_length = self.max_length or max(LONGEST, self.min_length)
        longest = one_for_each(max_length, batch, "max_length")
        shortest = one_for_each(
            self.min_length if min_length is None else min_length, batch, "min_length"
        )
        if min(longest) < 1:
            raise ValueError(f"max_length must be at least 1, not {min(longest)}")
        if any(low > high for low, high in zip(shortest, longest, strict=True)):
            raise ValueError("min_length must not exceed max_length")
        never = {bos} if pad is None else {bos, pad}
        if eos in never:
            raise ValueError(f"eos ({eos}) is also the token that starts or pads a sentence")
        own: list[Constraint] = [Forbidden(sorted(never))]
        if max(shortest) > 0:
            own.append(MinimumLength(shortest, eos))
        if self.no_repeat_ngram:
            own.append(NoRepeatedNgrams(self.no_repeat_ngram))
        every = [*constraints, *own]
        if prefixes is not None:
            check_prefixes(prefixes, longest)
            every = [ForcedPrefixes(prefixes, every)]
        choice, stop_after = self._choice(generator), self._stop_after()
        rules = Rules(choice, self._length_penalty, self.answers, stop_after, eos)
        return run_search(
            model, context, rules, bos=bos, max_length=longest, prune=prune,
            constraints=every, keep_attention=keep_attention,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The name of the strategy, as `search`, and its numbers."""
        return {"search": type(self).__name__, **asdict(self)}

    def _choice(self, generator: torch.Generator | None) -> Callable[..., Continuations]:
        """Which continuations are kept; see `Rules.choose`."""
        raise NotImplementedError

    def _length_penalty(self, length: int) -> float:
        """What the log-probability of `length` tokens, eos included, is divided by."""
        base = (5 + length) / 6 if self.length_norm == "gnmt" else length
        return base**self.length_penalty

    @property
    def answers(self) -> int:
        """Most hypotheses that are returned for each sentence."""
        return 1

    def _stop_after(self) -> int | None:
        """See `Rules.stop_after`."""
        return None


@dataclass(frozen=True, kw_only=True)
class Greedy(Search):
    """The likeliest token at every step: exactly a beam search with a beam of one."""

    def _choice(self, generator: torch.Generator | None) -> Callable[..., Continuations]:
        from common.decoding.continuations import choose_best

        return partial(choose_best, beam_size=1)


@dataclass(frozen=True, kw_only=True)
class BeamSearch(Search):
    """The best continuations of the best hypotheses, at every step.

    At every step the `beam_size` likeliest continuations of a sentence's hypotheses are kept; those
    by eos have ended, the others go on. So a beam of one is greedy search, and a beam as wide as the
    number of possible sentences is exact. A sentence is done when no hypothesis that goes on can
    still beat its `n_best` finished ones, whatever tokens follow. No two of its hypotheses are alike.
    """

    beam_size: int = 5
    """Hypotheses kept for each sentence; 1 is greedy."""
    n_best: int = 1
    """Sentences returned for each input, best first; at most the beam size."""
    beam_patience: float | None = None
    """End the search for a sentence once so many times the beam size of its hypotheses have ended (Kasai
    et al. 2022); None searches until no other can be better: with a large length penalty that takes
    long, and a patience of 2 rarely changes an answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_size < 1:
            raise ValueError(f"beam_size must be at least 1, not {self.beam_size}")
        if not 1 <= self.n_best <= self.beam_size:
            raise ValueError(
                f"n_best must be between 1 and beam_size ({self.beam_size}), not {self.n_best}"
            )
        if self.beam_patience is not None and not self.beam_patience >= 0:
            raise ValueError(f"beam_patience must not be negative, not {self.beam_patience}")

    def _choice(self, generator: torch.Generator | None) -> Callable[..., Continuations]:
        from common.decoding.continuations import choose_best

        return partial(choose_best, beam_size=self.beam_size)

    @property
    def answers(self) -> int:
        return self.n_best

    def _stop_after(self) -> int | None:
        if self.beam_patience is None:
            return None
        return max(self.n_best, math.ceil(self.beam_patience * self.beam_size))


@dataclass(frozen=True, kw_only=True)
class Sampling(Search):
    """Every token is drawn from the model's distribution.

    All samples of a sentence are returned, finished ones before others, both by falling score. Two may
    be alike.
    """

    num_samples: int = 1
    """Independent samples of each sentence."""
    temperature: float = 1.0
    """What the logits are divided by; below 1, likely tokens become likelier."""
    top_k: int | None = None
    """Draw from so many likeliest tokens only; from all by default."""
    top_p: float = 1.0
    """Draw from the fewest likeliest tokens that together have this probability, after temperature and
    top_k (nucleus sampling, Holtzman et al. 2020)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, not {self.num_samples}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be above 0, not {self.temperature}; see Greedy")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")

    def _choice(self, generator: torch.Generator | None) -> Callable[..., Continuations]:
        from common.decoding.continuations import choose_sampled

        return partial(
            choose_sampled, num_samples=self.num_samples, temperature=self.temperature,
            top_k=self.top_k, top_p=self.top_p, generator=generator,
        )  # fmt: skip

    @property
    def answers(self) -> int:
        return self.num_samples
