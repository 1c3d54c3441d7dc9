"""A tokenizer that does not suit a text is named, with the option that does."""

from __future__ import annotations

import pytest

from common.text.suitability import references_reproduced, words_told_apart
from common.text.tokenizer import CharacterTokenizer, WhitespaceTokenizer, WordTokenizer

WORDS = WordTokenizer(punctuation=True)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["我喜欢小狗，你喜欢小猫。", "他在看书，她在跑。"], "no blanks between words"),
        (["「はい、そうです。」"], "no blanks between words"),
        (["ชายคนหนึ่งกำลังวิ่ง"], "no blanks between words"),
        (["ACGTTGCA .", "( TTGACA ) ,"], "about one word a line"),  # signs are no words
    ],
)
def test_words_that_cannot_be_told_apart(texts, reason):
    for tokenizer in (WORDS, WordTokenizer(), WhitespaceTokenizer()):
        (line,) = words_told_apart(tokenizer, texts, "source")
        assert line.startswith("source: ") and reason in line
        assert "--tokenizer subwords or characters" in line
    assert not list(words_told_apart(CharacterTokenizer(), texts, "source"))


@pytest.mark.parametrize(
    "texts", [["a dog runs"], ["나는 어제"], ["我 喜欢 小 狗 。"], [], ["", " "]]
)
def test_words_that_are_told_apart(texts):
    assert not list(words_told_apart(WORDS, texts, "source"))


def test_references_that_no_output_equals_are_counted():
    texts = ["hello , sir .", "good day.", "C ( = O ) O", "no . (1)"]
    (line,) = references_reproduced(WORDS, texts, str.split, "val")
    assert line.startswith("val: 3 of 4 references cannot be written as they are: 'no . (1)'")
    assert "becomes 'no. (1)'" in line and "--tokenizer whitespace" in line
    assert not list(references_reproduced(WhitespaceTokenizer(), texts, str.split, "val"))
    # What is compared decides: scores of captions see no punctuation.
    assert not list(references_reproduced(WORDS, texts, WordTokenizer().encode, "val"))
