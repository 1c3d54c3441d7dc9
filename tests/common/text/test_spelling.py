"""Features of words."""

from common.text.spelling import with_pairs, word_features


def test_every_word_has_as_many_features():
    assert word_features("Walking") == (
        "walking", "^w", "^wa", "^wal", "^walk", "g$", "ng$", "ing$", "king$", "~Xx",
    )  # fmt: skip
    assert word_features("At", first=True)[-1] == "<~Xx" and word_features("B-52s")[-1] == "~X-9x"
    assert len(word_features("I")) == len(word_features("Walking"))


def test_pairs_follow_the_words():
    assert with_pairs(["not", "very", "good"]) == ["not", "very", "good", "not very", "very good"]
    assert with_pairs(["good"]) == ["good"] and with_pairs([]) == []
