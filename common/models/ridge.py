"""Ridge regression, whose penalty is chosen on examples that are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PENALTIES = tuple(10.0**power for power in np.arange(-5, 2.1, 0.5))
"""Per example, for features and targets of deviation 1."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear map with a penalty on the squares of its weights (Hoerl and Kennard 1970).

    Args:
        weights: (F, H).
        bias: (H,).
        left_out: (N, H) what it gives for each example that it was fitted to, if fitted without it:
            as good, or bad, as on new ones.
    """

    weights: np.ndarray
    bias: np.ndarray
    left_out: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(B, H) of features (B, F)."""
        return features @ self.weights + self.bias

    @classmethod
    def fit(
        cls, features: np.ndarray, targets: np.ndarray, *, blocks: int = 8, gap: int = 0
    ) -> Ridge:
        """Fit with the penalty of the least absolute error on blocks of neighbours that are left out.

        Args:
            features: (N, F).
            targets: (N, H).
            blocks: the examples, in their order, are cut into so many.
            gap: examples on both sides of a block that are left out with it, as those whose targets
                overlap its own.

        Raises:
            ValueError: there are fewer than two examples.
        """
        if len(features) < 2:
            raise ValueError("a regression is fitted to at least two examples")
        found = np.empty((len(PENALTIES), *targets.shape))
        for block in np.array_split(np.arange(len(features)), min(blocks, len(features))):
            kept = np.ones(len(features), dtype=bool)
            kept[max(0, block[0] - gap) : block[-1] + 1 + gap] = False
            if not kept.any():
                raise ValueError("too few examples: none is left beside a block that is left out")
            for number, (weights, bias) in enumerate(_path(features[kept], targets[kept])):
                found[number, block] = features[block] @ weights + bias
        best = int(np.abs(found - targets).mean((1, 2)).argmin())
        weights, bias = _path(features, targets)[best]
        return cls(weights, bias, found[best])


def _path(features: np.ndarray, targets: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The weights and bias of every penalty, from one decomposition."""
    middle, mean = features.mean(0), targets.mean(0)
    left, singular, right = np.linalg.svd(features - middle, full_matrices=False)
    products = left.T @ (targets - mean)
    path = []
    for penalty in PENALTIES:
        shrunk = singular / (singular**2 + penalty * len(features))
        weights = right.T @ (shrunk[:, None] * products)
        path.append((weights, mean - middle @ weights))
    return path
