"""Small models: one by a table of probabilities, one recurrent with random weights.

They compute in float64, so that a batch and a single sentence give a search the same numbers; the
search itself sums up in float32.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import torch
from hypothesis import HealthCheck, settings
from torch import Tensor

from common.decoding.constraints import Forbidden
from common.decoding.search import BeamSearch, Greedy, Sampling, Search
from common.decoding.step_model import Step
from common.recurrent.state import NestedState
from tests.devices import drawn

PAD, BOS, EOS = 0, 1, 2
quick = settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@dataclass
class Rows:
    """A context that refuses to be copied: rows may be dropped, never repeated."""

    rows: Tensor
    steps: list[int] = field(default_factory=list)
    selections: list[int] = field(default_factory=list)

    @property
    def batch_size(self) -> int:
        return len(self.rows)

    def select(self, rows: Tensor) -> Rows:
        kept = rows.tolist()
        assert len(set(kept)) == len(kept) < self.batch_size
        self.selections.append(len(kept))
        return Rows(self.rows[rows], self.steps, self.selections)


class TableModel:
    """The next word depends on the last one alone, by a table of probabilities.

    The state holds `size` tensors of no use.
    """

    def __init__(self, table: dict[int, dict[int, float]], vocabulary: int, size: int = 1) -> None:
        probabilities = torch.zeros(vocabulary, vocabulary, dtype=torch.double)
        for last, following in table.items():
            for word, probability in following.items():
                probabilities[last, word] = probability
        probabilities[probabilities.sum(1) == 0, PAD] = 1.0  # rows that can never be reached
        self.logits = probabilities.log()
        self.size = size

    def prepare(self, context: Rows) -> Rows:
        return context

    def start(self, context: Rows) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(context.batch_size, 1 + n) for n in range(self.size))

    def step(self, tokens, state, context):
        assert len(tokens) % context.batch_size == 0
        assert [part.shape for part in state] == [(len(tokens), 1 + n) for n in range(self.size)]
        context.steps.append(len(tokens))
        return Step(self.logits[tokens], tuple(part + 1 for part in state))


def normal(*shape: int, seed: int | torch.Generator) -> Tensor:
    return drawn(torch.randn, shape, seed=seed, dtype=torch.double)


class RandomModel:
    """A recurrent network of random weights: the next word depends on context and all words."""

    def __init__(self, vocabulary: int, seed: int, *, ending: float = 1.0, sharp: float = 2.0):
        generator = torch.Generator("cpu").manual_seed(seed)
        self.vocabulary = vocabulary
        self.words = normal(vocabulary, 6, seed=generator)
        self.recurrent = normal(6, 6, seed=generator)
        self.out = normal(6, vocabulary, seed=generator) * sharp
        self.bias = torch.zeros(vocabulary, dtype=torch.double)
        self.bias[EOS] = ending
        self.prepared = 0

    def prepare(self, context: Rows) -> Rows:
        self.prepared += 1
        return context

    def start(self, context: Rows) -> NestedState:
        zeros = torch.zeros(context.batch_size, 6, dtype=torch.double)
        return zeros, (zeros[:, :1], ())  # of any depth

    def step(self, tokens, state, context):
        context.steps.append(len(tokens))
        h, (length, _) = state
        shared = context.rows[:, None]  # (B, 1, 6): every hypothesis of a sentence sees its row
        h = (h @ self.recurrent + self.words[tokens]).view(len(shared), -1, 6) + shared
        h = h.flatten(0, 1).tanh()
        # No attention: three numbers that differ in every step and hypothesis.
        weights = torch.stack([length[:, 0], tokens.double(), h[:, 0]], 1)
        return Step(h @ self.out + self.bias, (h, (length + 1, ())), weights)


def contexts(batch: int, seed: int = 0) -> Rows:
    return Rows(normal(batch, 6, seed=seed + 1000))


def log_probabilities(model, context: Rows, prefix: tuple[int, ...]) -> list[float]:
    """Of the next token of one sentence, given the words before it."""
    context = Rows(context.rows)
    state = model.start(context)
    for token in (BOS, *prefix):
        logits, state, _ = model.step(torch.tensor([token]), state, context)
    return logits[0].double().log_softmax(0).tolist()


def rescored(model, context: Rows, tokens: list[int], *, finished: bool) -> float:
    """The log-probability of a sentence, one token at a time."""
    tokens = [*tokens, EOS] if finished else tokens
    return sum(
        log_probabilities(model, context, tuple(tokens[:t]))[token]
        for t, token in enumerate(tokens)
    )


def one_row(context: Rows, row: int) -> Rows:
    return Rows(context.rows[row : row + 1])


def words_of(found) -> list[list[list[int]]]:
    """The tokens of all hypotheses."""
    return [[hypothesis.tokens for hypothesis in best] for best in found]


def repeats(tokens: tuple[int, ...], n: int) -> bool:
    ngrams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
    return n > 0 and len(set(ngrams)) < len(ngrams)


THE, A, DOG, CAT, RUNS, SLEEPS, FAST = range(3, 10)
STORY = {
    BOS: {THE: 0.6, A: 0.4},
    THE: {DOG: 0.5, CAT: 0.4, EOS: 0.1},
    A: {DOG: 0.1, CAT: 0.9},
    DOG: {RUNS: 0.5, SLEEPS: 0.3, EOS: 0.2},
    CAT: {RUNS: 0.2, SLEEPS: 0.75, EOS: 0.05},
    RUNS: {EOS: 0.4, FAST: 0.6},
    SLEEPS: {EOS: 0.9, FAST: 0.1},
    FAST: {EOS: 1.0},
}


def story() -> TableModel:
    return TableModel(STORY, 10)


def one() -> Rows:
    return Rows(torch.zeros(1, 1))


def search_with(strategy: type[Search], model, context, **options: Any):
    """A search, by the options of the strategy and the arguments of the call together."""
    own = {field.name for field in fields(strategy)}
    for name in ("max_length", "min_length"):
        if not isinstance(options.get(name, 0), int):  # a bound for each sentence
            own -= {name}
    if isinstance(options.get("length_penalty"), tuple):
        options["length_norm"], options["length_penalty"] = options["length_penalty"]
    forbidden = Forbidden(options.pop("forbidden", (PAD, BOS)))
    call = {name: value for name, value in options.items() if name not in own}
    value = strategy(**{name: options[name] for name in own & options.keys()})
    return value(
        model, context, **{"bos": BOS, "eos": EOS, "pad": None, "constraints": [forbidden]} | call
    )


beam_search, greedy, sample = (
    partial(search_with, strategy) for strategy in (BeamSearch, Greedy, Sampling)
)
