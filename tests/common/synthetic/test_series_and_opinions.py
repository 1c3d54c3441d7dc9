"""Generated series and opinions are what they say they are."""

from __future__ import annotations

import numpy as np

from common.synthetic.opinions import opinions
from common.synthetic.series import mackey_glass


def test_the_chaotic_series_stays_in_its_bounds_and_does_not_repeat():
    series = mackey_glass(400, noise=0.0)
    assert len(series) == 400 and 0.2 < series.min() < 0.6 and 1.1 < series.max() < 1.5
    other = mackey_glass(400, seed=1, noise=0.0)
    assert np.abs(series - other).max() > 0.3
    noisy = mackey_glass(400) - series
    assert 0.008 < noisy.std() < 0.012


def test_one_opening_in_four_turns_the_judgement():
    sentences, labels = opinions(4000)
    assert (sentences, labels) == opinions(4000)
    pairs = list(zip(sentences, labels, strict=True))
    fresh = [label for sentence, label in pairs if sentence.endswith("is fresh")]
    assert 0.65 < np.mean(fresh) < 0.85
    assert {label for s, label in pairs if s.startswith("nobody") and s.endswith("fresh")} == {0}
    assert {label for s, label in pairs if s.startswith("nobody") and s.endswith("dull")} == {1}
