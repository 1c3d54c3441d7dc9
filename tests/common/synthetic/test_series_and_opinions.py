"""Generated series and opinions are what they say they are."""

from __future__ import annotations

from collections import Counter

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


def test_no_word_tells_an_opinion():
    sentences, labels = opinions(4000)
    assert (sentences, labels) == opinions(4000)
    praised = Counter(
        w for s, label in zip(sentences, labels, strict=True) if label for w in s.split()
    )
    every = Counter(word for sentence in sentences for word in sentence.split())
    rates = [praised[word] / count for word, count in every.items() if count > 300]
    assert 0.4 < min(rates) and max(rates) < 0.6
    assert "nobody says the film is dull" in sentences
    assert labels[sentences.index("nobody says the film is dull")] == 1
