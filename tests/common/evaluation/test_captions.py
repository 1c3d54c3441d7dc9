"""Caption metrics: worked by hand, against independent implementations, against COCO's figures."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from math import exp, isclose, log, sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from sacrebleu.metrics import BLEU

from common.evaluation.captions import (
    DocumentFrequency,
    bleu,
    caption_words,
    cider_d,
    rouge_l,
    score_captions,
    score_each,
)

# Three letters: sentences repeat words, share n-grams and tie in length.
WORDS = st.lists(st.sampled_from("abc"), max_size=7)
CORPUS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=5)
Corpus = list[tuple[list[str], list[list[str]]]]


def split(*texts: str) -> list[list[str]]:
    return [text.split() for text in texts]


# BLEU ------------------------------------------------------------------------------------------


def test_bleu_with_clipping_and_brevity_penalty_by_hand() -> None:
    # "the" counts twice, as in the reference that has it most, not thrice; 5 words against 7.
    scores = bleu(split("the the the", "a dog"), [split("the cat the"), split("a dog sat here")])
    penalty = exp(1 - 7 / 5)
    assert scores[0] == pytest.approx(penalty * (2 + 2) / 5)
    assert scores[1] == pytest.approx(penalty * sqrt((4 / 5) * (0 + 1) / (2 + 1)))
    # One 3-gram was guessed, and is wrong; no 4-gram was guessed: COCO's constants remain.
    product = (4 / 5) * (1 / 3) * (1e-15 / 1)
    assert scores[2] == pytest.approx(penalty * product ** (1 / 3))
    assert scores[3] == pytest.approx(penalty * (product * (1e-15 / 1e-9)) ** (1 / 4))


@pytest.mark.parametrize("lengths", [(2, 4), (4, 2)])
def test_bleu_takes_the_shorter_of_two_equally_close_references(lengths: tuple[int, int]) -> None:
    references = [["a"] * length for length in lengths]
    assert bleu([["a"] * 3], [references])[0] == pytest.approx(1)  # 2 <= 3: no penalty


def test_bleu_sums_counts_before_it_divides() -> None:
    # Mean of sentences: (1 + 0) / 2. Corpus: 1 match of 4 words.
    assert bleu(split("a", "x y z"), [split("a"), split("b c d")])[0] == pytest.approx(1 / 4)


@settings(deadline=None)
@given(CORPUS, st.integers(1, 4))
def test_bleu_equals_sacrebleu_without_tokenisation(corpus: Corpus, order: int) -> None:
    texts = [" ".join(words) for words, _ in corpus]
    most = max(len(candidates) for _, candidates in corpus)
    # sacreBLEU takes the n-th references of all sentences together; a repeated one changes nothing.
    streams = [
        [" ".join(candidates[min(n, len(candidates) - 1)]) for _, candidates in corpus]
        for n in range(most)
    ]
    oracle = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
    expected = oracle.corpus_score(texts, streams).score / 100
    score = bleu([words for words, _ in corpus], [c for _, c in corpus])[order - 1]
    if expected:
        assert isclose(score, expected, rel_tol=1e-6)
    else:
        # COCO's constants in place of 0: at most 1e-15 / 1e-9, where no n-gram was guessed.
        assert score <= 1e-6 ** (1 / order) * (1 + 1e-9)


# ROUGE-L ---------------------------------------------------------------------------------------


def test_rouge_l_by_hand() -> None:
    # Common: a c. Precision 2/4, recall 2/5.
    expected = (1 + 1.44) * 0.5 * 0.4 / (0.4 + 1.44 * 0.5)
    assert rouge_l(split("a b c d"), [split("a x c y z")]) == [pytest.approx(expected)]


def test_rouge_l_takes_precision_and_recall_from_different_references() -> None:
    # Precision 1 from the first, recall 1 from the second.
    references = split("the cat sat on the mat", "sat")
    assert rouge_l(split("the cat sat"), [references]) == [pytest.approx(1)]


def test_rouge_l_of_empty_captions() -> None:
    assert rouge_l([[], ["a"], []], [[["a"]], [[]], [[]]]) == [0, 0, pytest.approx(1)]


def plain_lcs(words: list[str], other: list[str]) -> int:
    table = [[0] * (len(other) + 1) for _ in range(len(words) + 1)]
    for i, word in enumerate(words):
        for j, name in enumerate(other):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if word == name else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=80), st.data())
def test_rouge_l_equals_the_table(words: list[str], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=80))
    common = plain_lcs(words, other)
    precision, recall = common / len(words), common / len(other)
    expected = 2.44 * precision * recall / (recall + 1.44 * precision) if common else 0.0
    assert isclose(rouge_l([words], [[other]])[0], expected, rel_tol=1e-12, abs_tol=1e-12)


# CIDEr-D ---------------------------------------------------------------------------------------


def test_cider_d_of_two_images_by_hand() -> None:
    # Each n-gram is in one image of two: every weight is log 2 and cancels.
    references = [split("a b"), split("c d")]
    first, second = cider_d(split("a b", "c c"), references)
    assert first == pytest.approx(10 * (1 + 1 + 0 + 0) / 4)  # neither has 3-grams or 4-grams
    # h = (c: 2), r = (c: 1, d: 1): min(h, r) . r = 1; no common bigram.
    assert second == pytest.approx(10 * (1 / (2 * sqrt(2))) / 4)


def test_cider_d_measures_length_in_bigrams() -> None:
    references = [split("a b"), split("c")]
    one_bigram, none = cider_d(split("a", "c"), references)
    assert one_bigram == pytest.approx(10 * exp(-1 / 72) * (1 / sqrt(2)) / 4)
    assert none == pytest.approx(10 / 4)
    # An empty caption has as many bigrams as one word; nothing matches anyway.
    assert cider_d([[], []], references) == [0, 0]


def test_cider_d_is_a_mean_over_references_and_gives_common_words_no_weight() -> None:
    references = [split("a b", "a x"), split("a y")]  # a is in every image: weight 0
    scores = cider_d(split("b", "a"), references)
    unigram = exp(-1 / 72) * 1.0  # b against (a: 0, b: log 2): the same direction
    assert scores == [pytest.approx(10 * unigram / 4 / 2), 0]


def test_cider_d_of_one_image_is_zero() -> None:
    assert cider_d(split("a b c d"), [split("a b c d")]) == [0]


def paper_cider_d(corpus: Corpus, table: Corpus) -> list[float]:
    """Vedantam et al. 2015, eq. 1, 3 and 4, with vectors over every n-gram there is."""

    def grams(words: list[str], n: int) -> Counter[str]:
        return Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))

    def vectors(words: list[str], n: int, names: list[str]) -> list[float]:
        counts = grams(words, n)
        images = [set().union(*(grams(other, n) for other in refs)) for _, refs in table]
        return [
            counts[name] * log(len(table) / max(1, sum(name in image for image in images)))
            for name in names
        ]

    def length(vector: list[float]) -> float:
        return math.hypot(*vector)

    scores = []
    for words, candidates in corpus:
        values = []
        for n in range(1, 5):
            names = sorted({name for w in [words, *candidates] for name in grams(w, n)})
            h = vectors(words, n, names)
            for other in candidates:
                r = vectors(other, n, names)
                product = sum(min(x, y) * y for x, y in zip(h, r, strict=True))
                scale = length(h) * length(r)
                bigrams = grams(words, 2).total() - grams(other, 2).total()
                values.append(exp(-(bigrams**2) / 72) * product / scale if scale else 0.0)
        scores.append(10 * sum(values) / len(values))
    return scores


@settings(deadline=None)
@given(CORPUS, st.none() | CORPUS)
def test_cider_d_equals_the_formula_of_the_paper(corpus: Corpus, other: Corpus | None) -> None:
    hypotheses, references = [words for words, _ in corpus], [refs for _, refs in corpus]
    table = None if other is None else DocumentFrequency(refs for _, refs in other)
    scores = cider_d(hypotheses, references, table)
    expected = paper_cider_d(corpus, other or corpus)
    assert scores == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_document_frequency_counts_an_image_once() -> None:
    table = DocumentFrequency([split("a a", "a b"), split("a")])
    assert table.documents == 2
    assert table.counts == {("a",): 2, ("b",): 1, ("a", "a"): 1, ("a", "b"): 1}


def test_scores_of_ids_equal_those_of_words() -> None:
    words, references = split("a b c", "a c"), [split("a c", "b c a"), split("c a b")]
    ids = [[ord(w) for w in sentence] for sentence in words]
    id_references = [[[ord(w) for w in other] for other in refs] for refs in references]
    for metric in (bleu, rouge_l, cider_d):
        assert metric(ids, id_references) == metric(words, references)


# All together ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(CORPUS, st.randoms(use_true_random=False))
def test_the_order_of_images_and_references_does_not_matter(corpus: Corpus, random) -> None:
    hypotheses = {str(i): " ".join(words) for i, (words, _) in enumerate(corpus)}
    references = {str(i): [" ".join(r) for r in refs] for i, (_, refs) in enumerate(corpus)}
    scores = score_captions(hypotheses, references, tokenize=str.split)
    shuffled = {i: random.sample(refs, len(refs)) for i, refs in references.items()}
    backwards = dict(reversed(hypotheses.items()))
    assert score_captions(backwards, shuffled, tokenize=str.split) == pytest.approx(scores)
    assert all(0 <= score <= 1 + 1e-9 for name, score in scores.items() if name != "cider_d")
    assert 0 <= scores["cider_d"] <= 10 + 1e-9


def test_scores_of_each_image_are_those_of_the_coco_code() -> None:
    """BLEU of the image alone; ROUGE-L and CIDEr-D, weighed over all images, whose means are the
    corpus's."""
    hypotheses = {"b": "a dog runs", "a": "two cats", "c": ""}
    references = {"a": ["two black cats", "cats"], "b": ["A dog runs!", "dogs"], "c": ["a man"]}
    each, corpus = score_each(hypotheses, references), score_captions(hypotheses, references)
    assert list(each) == list(hypotheses)
    assert all(scores.keys() == corpus.keys() for scores in each.values())
    for name in ("rouge_l", "cider_d"):
        mean = math.fsum(scores[name] for scores in each.values()) / 3
        assert mean == pytest.approx(corpus[name], rel=1e-12) and mean > 0
    for image, text in hypotheses.items():
        alone = score_captions({image: text}, {image: references[image]})
        assert [each[image][f"bleu{n}"] for n in (1, 2, 3, 4)] == [
            alone[f"bleu{n}"] for n in (1, 2, 3, 4)
        ]
    assert each["b"]["bleu3"] == pytest.approx(1) and each["c"]["bleu1"] < 1e-5
    with pytest.raises(ValueError, match="1 images without a hypothesis: c"):
        score_each({"a": "x", "b": "y"}, references)


HASHED = """
from common.evaluation.captions import score_each
words = "a dog and two small cats run over the green grass near one red house".split()
texts = {n: " ".join(words[n % 5 :: 1 + n % 3] + words[:n % 7]) for n in range(40)}
others = {n: [texts[(n + 1) % 40], texts[(n + 7) % 40]] for n in texts}
print(score_each(texts, others))
"""


def test_scores_are_the_same_in_every_process() -> None:
    """To the last digit, though a set of words has another order in each."""
    root, found = Path(__file__).parents[3], set()
    for seed in ("1", "2", "3"):
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        found.add(subprocess.check_output([sys.executable, "-c", HASHED], env=env, text=True))
    assert len(found) == 1


def test_a_reference_scores_everything() -> None:
    texts = {"x": "A dog isn't running in the park.", "y": "Two men ride big red bikes!"}
    scores = score_captions(
        {i: t.upper() for i, t in texts.items()}, {i: [texts[i]] for i in texts}
    )
    assert scores == pytest.approx(
        {"bleu1": 1, "bleu2": 1, "bleu3": 1, "bleu4": 1, "rouge_l": 1, "cider_d": 10}
    )


def test_only_empty_captions_score_nothing() -> None:
    scores = score_captions({"x": "", "y": " . "}, {"x": ["a dog"], "y": ["a cat"]})
    assert scores == pytest.approx(dict.fromkeys(scores, 0.0))


def test_already_tokenised_text_is_split_at_spaces_only() -> None:
    scores = score_captions({"x": "A dog ."}, {"x": ["a dog ."]}, tokenize=str.split)
    assert scores["bleu1"] == pytest.approx(2 / 3)
    assert score_captions({"x": "A dog ."}, {"x": ["a dog"]})["bleu1"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ({"x": "a", "z": "b"}, {"x": ["a"]}, "1 images without references: z"),
        ({"x": "a"}, {"x": ["a"], "p": ["b"], "q": ["c"]}, "2 images without a hypothesis: p, q"),
        (
            {"x": "a", "y": "b"},
            {"x": ["a"], "y": []},
            "1 images with an empty list of references: y",
        ),
        ({"x": "a"}, {"x": "a dog"}, "1 images whose references are one text, not a list: x"),
        ({str(i): "" for i in range(9)}, {}, "9 images without references: 0, 1, 2, 3, 4, ..."),
        ({}, {}, "no captions to score"),
    ],
)
def test_bad_input_names_the_images(hypotheses, references, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_captions(hypotheses, references)


@pytest.mark.parametrize("metric", [bleu, rouge_l, cider_d])
def test_pieces_refuse_what_does_not_align(metric) -> None:
    with pytest.raises(ValueError, match="2 hypotheses, but references of 1"):
        metric(split("a", "b"), [split("a")])
    with pytest.raises(ValueError, match="hypothesis 1 has no references"):
        metric(split("a", "b"), [split("a"), []])


@pytest.mark.parametrize("case", ["human", "shuffled"])
def test_raw_captions_score_as_with_the_coco_caption_code(shared: Path, case: str) -> None:
    data = json.loads((shared / "metrics" / "flickr8k_dev_cases.json").read_text("utf-8"))[case]
    scores = score_captions(data["hypotheses"], data["references"])
    assert scores == pytest.approx(data["expected"], abs=1e-9)


def test_published_figures_of_nlg_eval(shared: Path) -> None:
    folder = shared / "metrics"
    expected = json.loads((folder / "nlgeval_expected.json").read_text("utf-8"))
    files = expected["case_files"]
    hypotheses, *references = (
        (folder / name).read_text("utf-8").splitlines() for name in (files["hyp"], *files["refs"])
    )
    single = expected["case_single"]
    for texts, candidates, figures in [
        (hypotheses, list(zip(*references, strict=True)), files["expected"]),
        ([single["hyp"]], [single["refs"]], single["expected"]),
    ]:
        scores = score_captions(
            {str(n): text for n, text in enumerate(texts)},
            {str(n): list(others) for n, others in enumerate(candidates)},
            tokenize=str.split,
        )
        named = {"Bleu_1": "bleu1", "Bleu_2": "bleu2", "Bleu_3": "bleu3", "Bleu_4": "bleu4"}
        named |= {"ROUGE_L": "rouge_l", "CIDEr": "cider_d"}
        assert {name: scores[ours] for name, ours in named.items()} == pytest.approx(
            {name: figures[name] for name in named}, abs=2e-6
        )


def test_the_script_of_the_references_decides_what_is_compared() -> None:
    chinese = ["一个男人在草地上奔跑。", "一个man在跑"]
    words, name = caption_words(chinese)
    assert name == "per character"
    assert words("一个man在跑。") == ["一", "个", "man", "在", "跑"]
    near = score_captions({"a": "一个男人在草地上跑"}, {"a": chinese}, words)
    assert near["bleu1"] == pytest.approx(exp(1 - 10 / 9), abs=1e-6) and near["bleu4"] > 0.5
    assert near["rouge_l"] > 0.9

    words, name = caption_words(["A dog runs.", "C ( = O ) O"])
    assert name.startswith("per word") and words("A dog's (big).") == [
        "a",
        "dog",
        "'s",
        "(",
        "big",
        ")",
    ]
    words, name = caption_words(["C ( = O ) O"], tokens=True)
    assert name == "per token between blanks" and words("c ( = O ) ,") == [
        "c",
        "(",
        "=",
        "O",
        ")",
        ",",
    ]
