"""The most similar text by tf-idf."""

from common.data.pairs import Pair, unambiguous
from common.evaluation.diversity import distinct
from common.models.nearest import NearestText, nearest_targets


def test_rare_words_decide():
    find = NearestText([["the", "big", "dog"], ["the", "big", "cat"], ["cat"] * 3, []])
    assert find(["a", "big", "dog"]) == 0
    assert find(["cat"]) == 2  # nothing else is in it
    assert find(["unknown"]) == find([]) == 0
    known = [Pair("who are you", "me"), Pair("where is it", "here")]
    assert nearest_targets(known, [Pair("where are it", "?")], str.split) == ["here"]


def test_pairs_with_a_single_target_are_drawn_by_the_seed():
    pairs = [Pair("a", "1"), Pair("a", "2"), Pair("b", "1"), Pair("b", "1"), Pair("c", "3")]
    assert sorted(unambiguous(pairs, 9, seed=0)) == [Pair("b", "1"), Pair("c", "3")]
    many = [Pair(str(n), "x") for n in range(50)]
    drawn = unambiguous(many, 5, seed=1)
    assert len({*drawn}) == 5 and drawn == unambiguous(many, 5, seed=1)
    assert drawn != unambiguous(many, 5, seed=2)


def test_distinct_words_and_pairs():
    texts = ["it is it", "it is", ""]
    assert distinct(texts, 1) == 2 / 5 and distinct(texts, 2) == 2 / 3
    assert distinct([], 1) == 0
