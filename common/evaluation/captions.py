"""Scores of image captions in the dialect of the COCO caption code: BLEU, ROUGE-L, CIDEr-D.

`score_captions` scores texts; `bleu`, `rouge_l` and `cider_d` score sequences of words, ids or
anything else that can be compared. On the same words the scores equal those of coco-caption
(pycocoevalcap).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from common.text.scripts import sign_by_sign, written_without_blanks
from common.text.tokenizer import WordTokenizer

Words = Sequence[Hashable]
NGram = tuple[Hashable, ...]
ORDERS = range(1, 5)  # lengths of n-grams

coco_words = WordTokenizer().encode
"""The words that the COCO caption code compares: lower-case, without punctuation."""


def caption_words(
    references: Iterable[str], *, tokens: bool = False
) -> tuple[Callable[[str], list[str]], str]:
    """What captions are compared by, and its name for the signature of a score.

    The COCO caption code's words; where the references are of a script without blanks between words,
    each of its signs is a word.

    Args:
        references: they decide.
        tokens: whether they are tokens already, with blanks between them, which are compared as they
            are.
    """
    if tokens:
        return str.split, "per token between blanks"
    if written_without_blanks(references):
        return lambda text: sign_by_sign(coco_words(text)), "per character"
    return coco_words, "per word, by the rules of COCO"


def score_captions(
    hypotheses: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    tokenize: Callable[[str], Sequence[str]] = coco_words,
) -> dict[str, float]:
    """Score one caption per image against its reference captions.

    Args:
        hypotheses: image id -> caption; an empty caption is allowed and scores 0.
        references: image id -> captions; the same ids, at least one caption each.
        tokenize: text -> words; `str.split` for text that is already tokenised.

    Returns:
        bleu1, bleu2, bleu3, bleu4 and rouge_l as fractions of 1; cider_d on COCO's scale (0 to 10,
        humans score about 0.8). CIDEr-D weighs words by how rare they are in `references`: it is
        comparable only on the same set of images, and is 0 on a single image.

    Raises:
        ValueError: no image, an id in only one of the two, or an image without references.
    """
    _check_ids(hypotheses, references)
    words = [tokenize(text) for text in hypotheses.values()]
    others = [[tokenize(text) for text in references[image]] for image in hypotheses]
    scores = {f"bleu{n}": score for n, score in zip(ORDERS, bleu(words, others), strict=True)}
    for name, metric in (("rouge_l", rouge_l), ("cider_d", cider_d)):
        scores[name] = math.fsum(metric(words, others)) / len(words)
    return scores


def score_each(
    hypotheses: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    tokenize: Callable[[str], Sequence[str]] = coco_words,
) -> dict[str, dict[str, float]]:
    """The scores of each caption, as the COCO code gives them for single images.

    The means of rouge_l and cider_d are the scores of the corpus. Those of bleu1 to bleu4 are not: for
    the corpus, counts are summed before they are divided.

    Args, errors: as `score_captions`.

    Returns:
        Image id -> the scores that `score_captions` names; CIDEr-D weighs words by how rare they are in
        all of the references.
    """
    _check_ids(hypotheses, references)
    words = [tokenize(text) for text in hypotheses.values()]
    others = [[tokenize(text) for text in references[image]] for image in hypotheses]
    whole = zip(words, others, rouge_l(words, others), cider_d(words, others), strict=True)
    found = {}
    for image, (one, candidates, rouge, cider) in zip(hypotheses, whole, strict=True):
        scores = zip(ORDERS, bleu([one], [candidates]), strict=True)
        found[image] = {f"bleu{n}": score for n, score in scores}
        found[image] |= {"rouge_l": rouge, "cider_d": cider}
    return found


def bleu(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """BLEU-1 to BLEU-4 of a corpus (Papineni et al. 2002), unsmoothed.

    The reference length of a caption is that of the reference closest in length, the shorter of two
    equally close. Where an order has no match, or no n-gram at all, the score is small but not 0,
    as in the COCO code.

    Args:
        hypotheses: the words of one caption per image.
        references: the words of each reference, per image.

    Returns:
        Four fractions; no means over sentences, counts are summed first.

    Raises:
        ValueError: not one non-empty list of references per hypothesis.
    """
    _check_aligned(hypotheses, references)
    matches, guesses = Counter[int](), Counter[int]()
    hypothesis_length = reference_length = 0
    for words, candidates in zip(hypotheses, references, strict=True):
        length = len(words)
        hypothesis_length += length
        reference_length += min((abs(len(other) - length), len(other)) for other in candidates)[1]
        for order in ORDERS:
            guesses[order] += max(0, length - order + 1)
            matches[order] += _clipped_matches(words, candidates, order)
    # The constants of the COCO code, which determine the score of an order without a match or guess.
    tiny, small = 1e-15, 1e-9
    ratio = (hypothesis_length + tiny) / (reference_length + small)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores, product = [], 1.0
    for order in ORDERS:
        product *= (matches[order] + tiny) / (guesses[order] + small)
        scores.append(product ** (1 / order) * brevity)
    return scores


def rouge_l(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """ROUGE-L of each caption: F-measure of the longest common subsequence (Lin 2004, sect. 3).

    As in the COCO code, beta is 1.2 (recall counts more than precision), and the best precision and
    the best recall may come from different references. Arguments and errors are those of `bleu`.

    Returns:
        One fraction per image; the score of the corpus is their mean.
    """
    _check_aligned(hypotheses, references)
    beta, scores = 1.2, []
    for words, candidates in zip(hypotheses, references, strict=True):
        # The COCO code splits "" into one empty word: two empty captions are equal, not undefined.
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
    """The number of images in whose references each n-gram occurs, which CIDEr-D weighs n-grams by.

    Args:
        references: the words of each reference, per image.

    Attributes:
        counts: n-gram -> images that have it in at least one reference.
        documents: images in all.
    """

    def __init__(self, references: Iterable[Sequence[Words]]) -> None:
        self.counts: Counter[NGram] = Counter()
        self.documents = 0
        for candidates in references:
            self.documents += 1
            self.counts.update({g for each in candidates for n in ORDERS for g in _ngrams(each, n)})
        self._rarest = math.log(max(1, self.documents))
        self._weights = {g: self._rarest - math.log(count) for g, count in self.counts.items()}

    def weights(self, words: Words, order: int) -> dict[NGram, float]:
        """tf-idf of each n-gram of that order; one in no image counts as in one (rarest)."""
        weights, rarest = self._weights, self._rarest
        return {g: n * weights.get(g, rarest) for g, n in _ngrams(words, order).items()}


def cider_d(
    hypotheses: Sequence[Words],
    references: Sequence[Sequence[Words]],
    document_frequency: DocumentFrequency | None = None,
) -> list[float]:
    """CIDEr-D of each caption (Vedantam et al. 2015, sect. 6), without stemming, as in COCO's code.

    The mean over orders 1 to 4 and references of
    10 exp(-d^2 / 2 sigma^2) min(h, r) . r / (|h| |r|), where h and r are tf-idf vectors of n-grams,
    sigma is 6, and d is the difference of length, which the COCO code counts in *bigrams*. Errors
    are those of `bleu`.

    Args:
        hypotheses, references: as in `bleu`.
        document_frequency: the table of another corpus (self-critical training takes that of the
            training references); by default that of `references`.

    Returns:
        One score per image, 0 to 10; the score of the corpus is their mean.
    """
    _check_aligned(hypotheses, references)
    table = document_frequency or DocumentFrequency(references)
    scores = []
    for words, candidates in zip(hypotheses, references, strict=True):
        vectors = [table.weights(words, order) for order in ORDERS]
        norms = [_norm(vector) for vector in vectors]
        total = 0.0
        for other in candidates:
            similarity = 0.0
            for vector, norm, order in zip(vectors, norms, ORDERS, strict=True):
                other_vector = table.weights(other, order)
                scale = norm * _norm(other_vector)
                if scale:
                    similarity += _clipped_product(vector, other_vector) / scale
            difference = max(0, len(words) - 1) - max(0, len(other) - 1)
            total += similarity * math.exp(-(difference**2) / (2 * 6.0**2))
        scores.append(10 * total / (len(ORDERS) * len(candidates)))
    return scores


def _clipped_matches(words: Words, candidates: Sequence[Words], order: int) -> int:
    """N-grams found in a reference, each at most as often as in the reference that has it most."""
    most: dict[NGram, int] = {}
    for other in candidates:
        for ngram, count in _ngrams(other, order).items():
            most[ngram] = max(count, most.get(ngram, 0))
    return sum(min(n, most.get(ngram, 0)) for ngram, n in _ngrams(words, order).items())


def _clipped_product(vector: dict[NGram, float], other: dict[NGram, float]) -> float:
    """min(h, r) . r: repeating a word more often than the reference gains nothing."""
    # In the order of the words: that of a set differs from process to process, and so would the sum.
    return sum(
        min(weight, other[ngram]) * other[ngram]
        for ngram, weight in vector.items()
        if ngram in other
    )


def _norm(vector: dict[NGram, float]) -> float:
    return math.sqrt(sum(weight * weight for weight in vector.values()))


def _ngrams(words: Words, order: int) -> dict[NGram, int]:
    # A plain loop, which is faster than a Counter on so short a sequence.
    counts: dict[NGram, int] = {}
    for ngram in zip(*(words[start:] for start in range(order)), strict=False):
        counts[ngram] = counts.get(ngram, 0) + 1
    return counts


def _longest_common_subsequence(words: Words, other: Words) -> int:
    """Length of the longest common subsequence; bit-parallel, one row of the table per word.

    Bit i of `row` is 0 where the table increases at `other[i]` (Hyyro 2004, "Bit-parallel LCS-length
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
        "with an empty list of references": [i for i, texts in references.items() if not texts],
        "whose references are one text, not a list": [
            i for i, texts in references.items() if isinstance(texts, str)
        ],
    }
    for what, ids in problems.items():
        if ids:
            first = ", ".join(sorted(map(str, ids))[:5])
            raise ValueError(f"{len(ids)} images {what}: {first}{', ...' if len(ids) > 5 else ''}")


def _check_aligned(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> None:
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses, but references of {len(references)}")
    for number, candidates in enumerate(references):
        if not candidates:
            raise ValueError(f"hypothesis {number} has no references")
