"""Scores of image captions in the dialect of the COCO caption code: BLEU, ROUGE-L, CIDEr-D.

`score_captions` scores texts; `bleu`, `rouge_l` and `cider_d` score tokens: words, ids, anything.
The figures equal those of coco-caption (pycocoevalcap) on the same words; its words come from
`common.text.WordTokenizer`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from common.text.tokenizer import WordTokenizer

Words = Sequence[Hashable]
NGram = tuple[Hashable, ...]


def coco_words(text: str) -> list[str]:
    """The words that the COCO caption code compares: lower-case, without punctuation."""
    return WordTokenizer().encode(text)


def score_captions(
    hypotheses: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    tokenize: Callable[[str], Sequence[str]] | None = coco_words,
) -> dict[str, float]:
    """Score one caption per image against the captions that people wrote for it.

    Args:
        hypotheses: image id -> caption; an empty caption is allowed and scores nothing.
        references: image id -> captions; the same ids, at least one caption each.
        tokenize: text -> words; None for text that is tokenised already (words between spaces).

    Returns:
        bleu1, bleu2, bleu3, bleu4 and rouge_l as fractions of 1; cider_d in COCO's scale (0 to 10,
        people score about 0.8). CIDEr-D weighs words by how rare they are in `references`: it is
        comparable only on the same set of images, and 0 on one image.

    Raises:
        ValueError: no image, an id in only one of the two, or an image without references.
    """
    _check_ids(hypotheses, references)
    words_of = str.split if tokenize is None else tokenize
    hypothesis_words = [words_of(text) for text in hypotheses.values()]
    reference_words = [[words_of(text) for text in references[image]] for image in hypotheses]
    scores = {
        f"bleu{order}": score
        for order, score in enumerate(bleu(hypothesis_words, reference_words), start=1)
    }
    scores["rouge_l"] = math.fsum(rouge_l(hypothesis_words, reference_words)) / len(hypotheses)
    scores["cider_d"] = math.fsum(cider_d(hypothesis_words, reference_words)) / len(hypotheses)
    return scores


def bleu(
    hypotheses: Sequence[Words], references: Sequence[Sequence[Words]], max_order: int = 4
) -> list[float]:
    """BLEU of a corpus for each order from 1 to `max_order` (Papineni et al. 2002), unsmoothed.

    The reference length of a caption is that of the reference closest in length, the shorter of two
    equally close. Where an order has no match, or no n-gram at all, the score is small but not 0,
    as in the COCO code.

    Args:
        hypotheses: the words of one caption per image.
        references: the words of each reference, per image.
        max_order: longest n-gram.

    Returns:
        `max_order` fractions: BLEU-1, BLEU-2, ...; no mean over sentences, counts are summed first.

    Raises:
        ValueError: not one non-empty list of references per hypothesis.
    """
    _check_aligned(hypotheses, references)
    matches, guesses = [0] * max_order, [0] * max_order
    hypothesis_length = reference_length = 0
    for words, candidates in zip(hypotheses, references, strict=True):
        length = len(words)
        hypothesis_length += length
        reference_length += min((abs(len(other) - length), len(other)) for other in candidates)[1]
        for order in range(1, max_order + 1):
            guesses[order - 1] += max(0, length - order + 1)
            matches[order - 1] += _clipped_matches(words, candidates, order)
    # The constants of the COCO code keep its figures where an order has no match, or no guess.
    tiny, small = 1e-15, 1e-9
    ratio = (hypothesis_length + tiny) / (reference_length + small)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for order in range(1, max_order + 1):
        product *= (matches[order - 1] + tiny) / (guesses[order - 1] + small)
        scores.append(product ** (1 / order) * brevity)
    return scores


def rouge_l(
    hypotheses: Sequence[Words], references: Sequence[Sequence[Words]], beta: float = 1.2
) -> list[float]:
    """ROUGE-L of each caption: F-measure of the longest common subsequence (Lin 2004, sect. 3).

    As in the COCO code, the best precision and the best recall may come from different references.

    Args:
        hypotheses: the words of one caption per image.
        references: the words of each reference, per image.
        beta: weight of recall against precision.

    Returns:
        One fraction per image; the score of the corpus is their mean.

    Raises:
        ValueError: not one non-empty list of references per hypothesis.
    """
    _check_aligned(hypotheses, references)
    scores = []
    for words, candidates in zip(hypotheses, references, strict=True):
        # The COCO code splits "" into one empty word: two empty captions are alike, not undefined.
        words = words or [""]
        precision = recall = 0.0
        for other in candidates:
            other = other or [""]
            common = _longest_common_subsequence(words, other)
            precision = max(precision, common / len(words))
            recall = max(recall, common / len(other))
        weighted = recall + beta**2 * precision
        scores.append((1 + beta**2) * precision * recall / weighted if weighted else 0.0)
    return scores


class DocumentFrequency:
    """In how many images' references each n-gram occurs: what CIDEr-D weighs n-grams by.

    Args:
        counts: n-gram -> images that have it in at least one reference.
        documents: images in all.

    Raises:
        ValueError: an n-gram occurs in more images than there are.
    """

    def __init__(self, counts: Mapping[NGram, int], documents: int) -> None:
        if max(counts.values(), default=0) > documents:
            raise ValueError(f"an n-gram occurs in more images than {documents}")
        self.counts = dict(counts)
        self.documents = documents
        self._rarest = math.log(max(1, documents))
        self._weights = {
            ngram: self._rarest - math.log(max(1, count)) for ngram, count in counts.items()
        }

    @classmethod
    def of(cls, references: Iterable[Sequence[Words]], max_order: int = 4) -> DocumentFrequency:
        """The table of a corpus.

        Args:
            references: the words of each reference, per image.
            max_order: longest n-gram; that of `cider_d`.
        """
        counts: Counter[NGram] = Counter()
        documents = 0
        for candidates in references:
            documents += 1
            counts.update(
                {
                    ngram
                    for words in candidates
                    for order in range(1, max_order + 1)
                    for ngram in _ngrams(words, order)
                }
            )
        return cls(counts, documents)

    def weights(self, words: Words, order: int) -> dict[NGram, float]:
        """tf-idf of each n-gram of that order; one in no image counts as in one (rarest)."""
        weights, rarest = self._weights, self._rarest
        counts = _ngrams(words, order)
        return {ngram: n * weights.get(ngram, rarest) for ngram, n in counts.items()}


def cider_d(
    hypotheses: Sequence[Words],
    references: Sequence[Sequence[Words]],
    document_frequency: DocumentFrequency | None = None,
    max_order: int = 4,
    sigma: float = 6.0,
) -> list[float]:
    """CIDEr-D of each caption (Vedantam et al. 2015, sect. 6), without stemming, as COCO has it.

    The mean over orders and references of 10 exp(-d^2 / 2 sigma^2) min(h, r) . r / (|h| |r|), where
    h and r are tf-idf vectors of n-grams and d is the difference in *bigrams*, as the COCO code
    counts length.

    Args:
        hypotheses: the words of one caption per image.
        references: the words of each reference, per image.
        document_frequency: the table of another corpus (self-critical training takes that of the
            training references); by default that of `references`.
        max_order: longest n-gram.
        sigma: standard deviation of the Gaussian that penalises a difference of length, in words.

    Returns:
        One score per image, 0 to 10; the score of the corpus is their mean.

    Raises:
        ValueError: not one non-empty list of references per hypothesis.
    """
    _check_aligned(hypotheses, references)
    table = document_frequency
    if table is None:
        table = DocumentFrequency.of(references, max_order)
    orders = range(1, max_order + 1)
    scores = []
    for words, candidates in zip(hypotheses, references, strict=True):
        vectors = [table.weights(words, order) for order in orders]
        norms = [_norm(vector) for vector in vectors]
        total = 0.0
        for other in candidates:
            similarity = 0.0
            for vector, norm, order in zip(vectors, norms, orders, strict=True):
                other_vector = table.weights(other, order)
                scale = norm * _norm(other_vector)
                if scale:
                    similarity += _clipped_product(vector, other_vector) / scale
            difference = max(0, len(words) - 1) - max(0, len(other) - 1)
            total += similarity * math.exp(-(difference**2) / (2 * sigma**2))
        scores.append(10 * total / (max_order * len(candidates)))
    return scores


def _clipped_matches(words: Words, candidates: Sequence[Words], order: int) -> int:
    """N-grams found in a reference, each at most as often as the reference that has it most."""
    most: dict[NGram, int] = {}
    for other in candidates:
        for ngram, count in _ngrams(other, order).items():
            if count > most.get(ngram, 0):
                most[ngram] = count
    return sum(min(n, most.get(ngram, 0)) for ngram, n in _ngrams(words, order).items())


def _clipped_product(vector: dict[NGram, float], other: dict[NGram, float]) -> float:
    """min(h, r) . r: repeating a word more often than the reference gains nothing."""
    return sum(min(vector[ngram], other[ngram]) * other[ngram] for ngram in vector.keys() & other)


def _norm(vector: dict[NGram, float]) -> float:
    return math.sqrt(sum(weight * weight for weight in vector.values()))


def _ngrams(words: Words, order: int) -> dict[NGram, int]:
    # A plain loop: a sentence is too short to pay for a Counter.
    counts: dict[NGram, int] = {}
    for ngram in zip(*(words[start:] for start in range(order)), strict=False):
        counts[ngram] = counts.get(ngram, 0) + 1
    return counts


def _longest_common_subsequence(words: Words, other: Words) -> int:
    """Length of the longest common subsequence, a row of the table per word at once.

    Bit i of `row` is 0 where the table rises at `other[i]` (Hyyro 2004, "Bit-parallel LCS-length
    computation revisited").
    """
    places: dict[Hashable, int] = {}
    for place, word in enumerate(other):
        places[word] = places.get(word, 0) | 1 << place
    ones = row = (1 << len(other)) - 1
    for word in words:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & ones
    return len(other) - row.bit_count()


def _check_ids(hypotheses: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    if not hypotheses and not references:
        raise ValueError("there are no captions to score")
    problems = {
        "without references": hypotheses.keys() - references.keys(),
        "without a hypothesis": references.keys() - hypotheses.keys(),
        "with an empty list of references": {i for i, texts in references.items() if not texts},
        "whose references are one text, not a list": {
            image for image, texts in references.items() if isinstance(texts, str)
        },
    }
    found = [f"{len(ids)} {what}: {_some(ids)}" for what, ids in problems.items() if ids]
    if found:
        raise ValueError(f"images {'; '.join(found)}")


def _check_aligned(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> None:
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses, but references of {len(references)}")
    for number, candidates in enumerate(references):
        if not candidates:
            raise ValueError(f"hypothesis {number} has no references")


def _some(ids: Iterable[str], most: int = 5) -> str:
    listed = sorted(map(str, ids))
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")
