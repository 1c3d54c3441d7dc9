"""A language model of counts, to stand beside one that is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


class KneserNey:
    """Interpolated modified Kneser-Ney (Chen and Goodman 1998, section 3).

        p(w | h) = (c(h w) - D(c(h w))) / c(h) + gamma(h) p(w | h without its first token)

    Of the longest n-grams, c is how often they occur; of a shorter one, after how many different
    tokens it does, unless it begins a text. Below the unigrams is the uniform distribution.

    Args:
        texts: ids (T,) each, which are counted. Each is predicted from its start on, by itself alone.
        size: V; ids are 0 to V - 1.
        order: tokens of the longest n-gram.

    Raises:
        ValueError: there is nothing to count, or the order is below 1.
    """

    def __init__(self, texts: Sequence[Sequence[int]], size: int, order: int) -> None:
        if order < 1 or not any(map(len, texts)):
            raise ValueError("give an order of at least 1, and texts that are not empty")
        self.size, self.order = size, order
        tokens = self._joined(texts)
        self._levels: list[_Level] = []
        grams = np.zeros(len(tokens), np.int64)  # which k-gram ends at each place, from k = 0 on
        counts: list[Ids] = []
        begins = np.zeros(0, bool)  # whether a k-gram begins with a start token
        for k in range(1, order + 1):
            keys, places, longer = np.unique(
                self._keys(grams, tokens), return_index=True, return_inverse=True
            )
            count = np.bincount(longer) * (tokens[places] < size)  # a start token is not predicted
            if k > 1:
                preceded = np.bincount(grams[places[count > 0]], minlength=len(counts[-1]))
                counts[-1] = np.where(begins, counts[-1], preceded)
            begins = tokens[np.maximum(places - k + 1, 0)] == size
            self._levels.append(_Level(keys, contexts=_before(grams)[places]))
            counts.append(count)
            grams = longer
        for level, count in zip(self._levels, counts, strict=True):
            level.discount(count)

    def nll(self, texts: Sequence[Sequence[int]]) -> float:
        """The mean negative log-likelihood of texts, in nats a token."""
        tokens = self._joined(texts)
        probability = np.full(len(tokens), 1 / self.size)
        grams = np.zeros(len(tokens), np.int64)  # -1: one that was never counted
        for level in self._levels:
            contexts = _before(grams)
            grams = level.find(contexts, self._keys(grams, tokens))
            probability = level.interpolate(grams, contexts, probability)
        return float(-np.log(probability[tokens < self.size]).mean())

    def _joined(self, texts: Sequence[Sequence[int]]) -> Ids:
        """All texts in one, each after so many start tokens (id V) that no n-gram spans two."""
        start = np.full(max(1, self.order - 1), self.size, np.int64)
        parts = [part for text in texts for part in (start, np.asarray(text, np.int64))]
        return np.concatenate(parts)

    def _keys(self, grams: Ids, tokens: Ids) -> Ids:
        """A number for the n-gram that ends at each place: of the shorter one before, and the token."""
        return _before(grams) * (self.size + 1) + tokens


class _Level:
    """The n-grams of one length.

    Args:
        keys: (N,) their numbers, rising.
        contexts: (N,) for each, the n-gram without its last token, in the level below.
    """

    def __init__(self, keys: Ids, contexts: Ids) -> None:
        self.keys, self.contexts = keys, contexts

    def discount(self, counts: Ids) -> None:
        """Turn counts (N,) into discounted probabilities, and what is left for the level below."""
        of_counts = np.bincount(counts.clip(max=5), minlength=5)[1:5] + 1e-9
        y = of_counts[0] / (of_counts[0] + 2 * of_counts[1])
        ratios = of_counts[1:] / of_counts[:-1]
        discounts = np.array([0, *(k - (k + 1) * y * ratio for k, ratio in enumerate(ratios, 1))])
        taken = discounts.clip(0, [0, 1, 2, 3])[counts.clip(max=3)]
        totals = np.bincount(self.contexts, weights=counts)
        self.totals = totals
        self.probabilities = (counts - taken) / totals.clip(1)[self.contexts]
        self.left = np.bincount(self.contexts, weights=taken) / totals.clip(1)

    def find(self, contexts: Ids, keys: Ids) -> Ids:
        """The place of each key; -1 if it, or its context, was never counted."""
        places = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where((contexts >= 0) & (self.keys[places] == keys), places, -1)

    def interpolate(self, grams: Ids, contexts: Ids, lower: Floats) -> Floats:
        """The probabilities of n-grams, from those of the level below."""
        known = (contexts >= 0) & (contexts < len(self.totals))
        known[known] = self.totals[contexts[known]] > 0
        ours = np.where(grams >= 0, self.probabilities[grams], 0.0)
        at = np.where(known, contexts, 0)
        return np.where(known, ours + self.left[at] * lower, lower)


def _before(grams: Ids) -> Ids:
    """What stands one place before."""
    return np.concatenate([grams[:1], grams[:-1]])
