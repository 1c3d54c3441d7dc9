"""How much a writer repeats itself."""

from __future__ import annotations

from collections.abc import Sequence


def distinct(texts: Sequence[str], n: int) -> float:
    """The fraction of different ones among all runs of n words of some texts.

    Words are what stands between blanks. The more texts, the lower: compare as many.

    Source: Li et al. 2016, A diversity-promoting objective function for neural conversation models.
    """
    words = [text.split() for text in texts]
    runs = [tuple(each[at : at + n]) for each in words for at in range(len(each) - n + 1)]
    return len(set(runs)) / max(1, len(runs))
