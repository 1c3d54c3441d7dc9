"""Multinomial naive Bayes: the class of a text by the counts of its tokens, in any order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SCALES = np.geomspace(0.02, 2, 41)


class NaiveBayes:
    """Counts tokens in each class, and multiplies their probabilities (add-one smoothing).

        log p(c | text) = s (log p(c) + sum over tokens of log p(token | c)) + constant

    s is the likeliest for texts that were left out: tokens are not independent, so that s = 1 would be
    far too certain.

    Args:
        texts: the tokens of each text.
        labels: the class of each, 0 to C - 1.
        num_classes: C.
        blocks: for `left_out`, the texts are divided into so many.
    """

    def __init__(
        self,
        texts: Sequence[Sequence[str]],
        labels: Sequence[int],
        num_classes: int,
        blocks: int = 10,
    ) -> None:
        tokens = dict.fromkeys(token for text in texts for token in text)
        self._ids = {token: number for number, token in enumerate(tokens)}
        self._classes = num_classes
        classes, encoded = np.asarray(labels), self._encode(texts)
        total = self._count(encoded, classes)
        self._weights = _weights(*total)

        self.left_out = np.empty((len(texts), num_classes))
        """(N, C) the logits of each text, of a naive Bayes that did not count its block."""
        for block in range(min(blocks, len(texts))):
            rows = np.arange(block, len(texts), blocks)
            there = [encoded[row] for row in rows]
            rest = (
                all_ - own
                for all_, own in zip(total, self._count(there, classes[rows]), strict=True)
            )
            self.left_out[rows] = _sums(there, *_weights(*rest))

        self._scale = min(SCALES, key=lambda scale: _loss(scale * self.left_out, classes))
        self.left_out *= self._scale

    def __call__(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """log p(c | text) (B, C) up to a constant; tokens that were never counted do not matter."""
        return self._scale * _sums(self._encode(texts), *self._weights)

    def _encode(self, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        ids = self._ids
        return [np.array([ids[t] for t in text if t in ids], dtype=np.int64) for text in texts]

    def _count(self, texts: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How often each class has each token (V, C), and how many texts (C,)."""
        classes = np.repeat(labels, [len(text) for text in texts])
        places = np.concatenate([*texts, np.zeros(0, np.int64)]) * self._classes + classes
        counts = np.bincount(places, minlength=len(self._ids) * self._classes)
        texts_of = np.bincount(labels, minlength=self._classes)
        return counts.reshape(-1, self._classes), texts_of


def _weights(counts: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log p(token | c) (V, C), 0 for tokens that have no counts, and log p(c) (C,)."""
    known = counts.sum(1, keepdims=True) > 0
    totals = counts.sum(0) + known.sum()
    return np.where(known, np.log((counts + 1) / totals), 0.0), np.log(
        (texts + 1) / (texts + 1).sum()
    )


def _sums(texts: list[np.ndarray], weights: np.ndarray, prior: np.ndarray) -> np.ndarray:
    return np.stack([prior + weights[text].sum(0) for text in texts])


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean cross-entropy, in nats."""
    return float((np.logaddexp.reduce(logits, 1) - logits[np.arange(len(labels)), labels]).mean())
