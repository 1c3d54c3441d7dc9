"""Cross-validation of a classifier of texts that corrects naive Bayes."""

from __future__ import annotations

import numpy as np

from common.data.classes import ClassifiedTexts
from common.models.naive_bayes import NaiveBayes
from common.models.sequence_classifier import ClassifiedBatch
from common.runs.kept import Kept
from common.text.spelling import with_pairs
from common.text.vocabulary import Vocabulary


class Fold:
    """What one network learns from and is judged on, with its vocabulary and its naive Bayes.

    Args:
        data: all texts.
        number: of the fold, from 0 on.
        folds: the texts are divided into so many, in a random order.
        seed: of the order.
        kept: keeps the vocabulary, of the words and pairs that are there twice in what is learnt from.
        alone: the network does not get the scores of naive Bayes.
    """

    def __init__(
        self, data: ClassifiedTexts, number: int, folds: int, seed: int, kept: Kept, alone: bool
    ) -> None:
        order = np.random.default_rng(seed).permutation(len(data.texts))
        mine = np.arange(len(order)) % folds == number
        self.rows = {"train": order[~mine], "val": order[mine]}
        self.labels = {split: np.array(data.labels)[rows] for split, rows in self.rows.items()}
        learnt, held = ([data.texts[row] for row in rows] for rows in self.rows.values())
        pairs, held_pairs = ([with_pairs(words) for words in texts] for texts in (learnt, held))
        name, classes = f"words-{number}.json", len(data.names)
        self.words = kept.get(name, Vocabulary, lambda: Vocabulary.build(pairs, min_count=2))
        self.bayes = NaiveBayes(pairs, self.labels["train"], classes)
        words = NaiveBayes(learnt, self.labels["train"], classes)(held)
        # A network corrects the scores of sentences that its naive Bayes did not count.
        self.base = {"train": self.bayes.left_out, "val": self.bayes(held_pairs)}
        self.baselines = {"bayes_words": words.argmax(1), "bayes_pairs": self.base["val"].argmax(1)}
        self.alone = alone
        self.tokens = {"train": self.encode(learnt), "val": self.encode(held)}

    def encode(self, texts: list[list[str]]) -> list[np.ndarray]:
        """For each text (T, 2): of each word, itself and the pair that it ends."""
        found = ((words, ["", *with_pairs(words)[len(words) :]]) for words in texts)
        return [np.array([self.words.encode(each) for each in both]).T for both in found]

    def collate(self, split: str, rows: np.ndarray) -> ClassifiedBatch:
        """A batch of some of the sentences of a split."""
        tokens = [self.tokens[split][row] for row in rows]
        return self._batch(tokens, self.labels[split][rows], self.base[split][rows])

    def _batch(
        self, tokens: list[np.ndarray], labels: np.ndarray, base: np.ndarray
    ) -> ClassifiedBatch:
        if base.shape[1] == 2:  # one logit
            base = base[:, 1:] - base[:, :1]
        return ClassifiedBatch.collate(tokens, labels, 0 * base if self.alone else base)

    def beginnings(self, words: list[str]) -> ClassifiedBatch:
        """A sentence's first word, its first two, ..., all."""
        texts = [words[:end] for end in range(1, len(words) + 1)]
        base = self.bayes([with_pairs(text) for text in texts])
        return self._batch(self.encode(texts), np.zeros(len(texts), np.int64), base)
