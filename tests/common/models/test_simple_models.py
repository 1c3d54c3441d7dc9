"""The simple models that stand beside networks: what they leave out, they do not know."""

from __future__ import annotations

import numpy as np
import pytest

from common.models.naive_bayes import NaiveBayes
from common.models.ridge import Ridge

TEXTS = [["good", "film"], ["bad", "film"], ["good", "good"], ["bad", "end"]]


def test_naive_bayes_by_hand():
    bayes = NaiveBayes(TEXTS, [1, 0, 1, 0], 2)
    good = np.log([1 / (4 + 4), 4 / (4 + 4)]) + np.log([0.5, 0.5])  # add-one, four tokens
    np.testing.assert_allclose(bayes([["good", "never-seen"]])[0], bayes._scale * good)
    assert bayes(TEXTS).argmax(1).tolist() == [1, 0, 1, 0]


def test_a_text_that_is_left_out_does_not_count():
    bayes = NaiveBayes([*TEXTS, ["odd"]], [1, 0, 1, 0, 1], 2, blocks=5)
    without = NaiveBayes(TEXTS, [1, 0, 1, 0], 2)
    expected = bayes._scale * without([["odd"]])[0] / without._scale
    np.testing.assert_allclose(bayes.left_out[4], expected)


def test_ridge_finds_a_linear_map_and_penalises_noise():
    draw = np.random.default_rng(0)
    features = draw.standard_normal((200, 5))
    targets = features @ draw.standard_normal((5, 2)) + 3
    ridge = Ridge.fit(features, targets)
    np.testing.assert_allclose(ridge(features), targets, atol=1e-3)
    np.testing.assert_allclose(ridge.left_out, targets, atol=1e-3)
    noise = Ridge.fit(features, draw.standard_normal((200, 2)))
    assert np.abs(noise.weights).max() < 0.2


def test_what_ridge_leaves_out_does_not_see_its_own_targets():
    draw = np.random.default_rng(0)
    features, targets = draw.standard_normal((40, 3)), draw.standard_normal((40, 1))
    first = Ridge.fit(features, targets, blocks=4, gap=2)
    changed = targets.copy()
    changed[:12] += 0.01  # the first block of ten, and the gap
    assert np.array_equal(
        first.left_out[:10], Ridge.fit(features, changed, blocks=4, gap=2).left_out[:10]
    )
    with pytest.raises(ValueError, match="at least two"):
        Ridge.fit(features[:1], targets[:1])
