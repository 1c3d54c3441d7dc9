"""The text that is most like another one, by tf-idf: what stands beside a model that answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from common.data.pairs import Pair


class NearestText:
    """Finds the most similar of some texts, by the cosine of their tf-idf weights.

    A token that occurs n times in a text, and in d of N texts, weighs (1 + log n) log(1 + N / d).

    Args:
        texts: the tokens of each.
    """

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.size = len(texts)
        found = Counter(token for text in texts for token in set(text))
        self._rarity = {token: np.log(1 + self.size / count) for token, count in found.items()}
        rows: dict[str, list[tuple[int, float]]] = {token: [] for token in found}
        for number, text in enumerate(texts):
            weights = self._weights(text)
            norm = sum(weight**2 for weight in weights.values()) ** 0.5
            for token, weight in weights.items():
                rows[token].append((number, weight / norm))
        self._index = {token: np.array(each) for token, each in rows.items()}  # (D, 2)

    def __call__(self, text: Sequence[str]) -> int:
        """The number of the most similar text; the first where none shares a token."""
        scores = np.zeros(self.size)
        for token, weight in self._weights(text).items():
            places, weights = self._index[token].T
            scores[places.astype(int)] += weight * weights
        return int(scores.argmax())

    def _weights(self, text: Sequence[str]) -> dict[str, float]:
        counts = Counter(token for token in text if token in self._rarity)
        return {t: (1 + np.log(n)) * self._rarity[t] for t, n in counts.items()}


def nearest_targets(
    known: Sequence[Pair], asked: Sequence[Pair], words: Callable[[str], Sequence[str]]
) -> list[str]:
    """For the source of each pair, the target of the most similar known source.

    Args:
        known: pairs to choose from.
        asked: pairs whose own targets are not looked at.
        words: gives the tokens of a text.
    """
    find = NearestText([words(pair.source) for pair in known])
    return [known[find(words(pair.source))].target for pair in asked]
