"""Multinomial naive Bayes: the class of a text by the counts of its tokens, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


class NaiveBayes:
    """Counts tokens in each class, and multiplies their probabilities (add-one smoothing).

        log p(c | text) = log p(c) + sum over tokens of log p(token | c) + constant

    Args:
        texts: the tokens of each text.
        labels: the class of each, 0 to C - 1.
        num_classes: C.
    """

    def __init__(
        self, texts: Sequence[Sequence[str]], labels: Sequence[int], num_classes: int
    ) -> None:
        self.texts = np.bincount(labels, minlength=num_classes)
        self.counts: dict[str, np.ndarray] = {}
        for text, label in zip(texts, labels, strict=True):
            for token in text:
                self.counts.setdefault(token, np.zeros(num_classes))[label] += 1
        self.totals = sum(self.counts.values(), start=np.zeros(num_classes)) + len(self.counts)

    def logits(self, text: Sequence[str], without: int | None = None) -> np.ndarray:
        """log p(c | text) (C,) up to a constant; tokens that were never counted do not matter.

        Args:
            text: its tokens.
            without: the class of a text that was counted: it is scored as if it had not been.
        """
        own = Counter(token for token in text if token in self.counts)
        occurs = np.array(list(own.values()), dtype=np.float64)
        counts = np.array([self.counts[token] for token in own]).reshape(-1, len(self.texts)) + 1
        totals, texts = self.totals.copy(), self.texts + 1.0
        if without is not None:
            counts[:, without] -= occurs
            totals[without] -= occurs.sum()
            texts[without] -= 1
        return np.log(texts) + occurs @ (np.log(counts) - np.log(totals))
