"""The vocabulary: ids, counts, and files that are right or refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from common.errors import UserError
from common.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

# Few letters, so that words repeat; a special token among them.
WORDS = st.sampled_from(["a", "b", "ab", "dog", "한국", "é", "<unk>", "<eos>", "'s"])
SENTENCES = st.lists(st.lists(WORDS, max_size=6), max_size=8)


def test_build_orders_by_count_then_code_point_and_counts_the_targets() -> None:
    sentences = [["b", "a", "c"], ["b", "a"], ["d", "b"]]
    vocabulary = Vocabulary.build(sentences, min_count=1, max_size=7)
    assert vocabulary.tokens == (*SPECIALS, "b", "a", "c")  # d ties with c and finds no room
    # pad and bos are never targets; each sentence ends once; d is the one unknown word.
    assert vocabulary.counts == (0, 0, 3, 1, 3, 2, 1)


def test_encode_and_decode() -> None:
    vocabulary = Vocabulary(["a", "dog"])
    assert vocabulary.encode(["a", "cat", "dog"]) == [4, UNK, 5]
    assert vocabulary.decode([BOS, 4, UNK, 5, EOS, 4, PAD]) == ["a", "<unk>", "dog"]
    assert vocabulary.decode(np.array([])) == []
    assert vocabulary.decode(torch.tensor([BOS, 4, EOS, PAD])) == ["a"]
    for outside in (-1, 6):
        with pytest.raises(ValueError, match="outside of a vocabulary of 6"):
            vocabulary.decode([outside])


@settings(deadline=None)
@given(SENTENCES, st.integers(0, 3), st.none() | st.integers(4, 9))
def test_build_keeps_its_promises(
    sentences: list[list[str]], min_count: int, max_size: int | None
) -> None:
    vocabulary = Vocabulary.build(sentences, min_count=min_count, max_size=max_size)
    assert max_size is None or len(vocabulary) <= max_size
    ids = [number for words in sentences for number in [*vocabulary.encode(words), EOS]]
    # The counts are exactly those of the targets that a model sees.
    assert Counter({n: c for n, c in enumerate(vocabulary.counts) if c}) == Counter(ids)
    assert list(vocabulary.counts[4:]) == sorted(vocabulary.counts[4:], reverse=True)
    # No text can write a special token other than unk, or end a sentence.
    for words in sentences:
        encoded = vocabulary.encode(words)
        assert not {PAD, BOS, EOS} & set(encoded)
        decoded = vocabulary.decode([BOS, *encoded, EOS])
        assert len(decoded) == len(words)
        assert vocabulary.encode(decoded) == encoded
    # The order of the sentences does not matter.
    again = Vocabulary.build(sentences[::-1], min_count=min_count, max_size=max_size)
    assert again == vocabulary


def test_the_summary_says_how_much_is_known() -> None:
    sentences = [["a", "a", "b"], ["a", "c"]]
    said = Vocabulary.build(sentences, min_count=2).summary("de")
    assert said == "de: a vocabulary of 5 covers 60.0% of the training text"
    with pytest.raises(UserError, match="de: no word is in the vocabulary. Lower --min-count"):
        Vocabulary.build(sentences, min_count=9).summary("de")


def test_some_tokens_come_first_and_stay_however_rare() -> None:
    sentences = [["a", "a", "b"], ["a", "c"]]
    vocabulary = Vocabulary.build(sentences, min_count=2, always=["c", "z", "<unk>"])
    assert vocabulary.tokens[4:] == ("c", "z", "a")
    assert vocabulary.counts[4:] == (1, 0, 3) and vocabulary.counts[UNK] == 1


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), unique=True, max_size=10).map(lambda x: list(x)))
def test_save_and_load_give_the_same(tmp_path_factory, words: list[str]) -> None:
    words = [word for word in words if word not in SPECIALS and word.isprintable()]
    vocabulary = Vocabulary(words, range(len(words) + 4))
    path = tmp_path_factory.mktemp("v") / "vocabulary.json"
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    assert loaded == vocabulary


@pytest.mark.parametrize(
    ("tokens", "counts", "says"),
    [
        (["a", "a"], None, "twice: 'a'"),
        (["<eos>"], None, "twice: '<eos>'"),
        (["a", ""], None, "token 5 is empty"),
        (["a"], [1, 2], "2 counts for 5 tokens"),
        (["a"], [0, 0, 0, 0, -1], "negative"),
    ],
)
def test_constructor_refuses(tokens: list[str], counts: list[int] | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Vocabulary(tokens, counts)


GOOD = {
    "format": "unroll.vocabulary",
    "version": 1,
    "tokens": [*SPECIALS, "a"],
    "counts": [0, 0, 1, 0, 1],
}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON"),
        ('{"format": "unroll.vocabulary",\n oh', ":2: not valid JSON"),
        ("[]", "not a vocabulary"),
        ({"format": "other"}, "not a vocabulary"),
        ({"version": 2}, "format version 2"),
        ({"version": None}, "format version None"),
        ({"tokens": "abc"}, "list of strings"),
        ({"tokens": [*SPECIALS, 1]}, "list of strings"),
        ({"counts": [0, 0, 1, 0, "1"]}, "of integers"),
        ({"tokens": ["<bos>", "<pad>", "<eos>", "<unk>", "a"]}, "the first tokens must be"),
        ({"tokens": [], "counts": []}, "the first tokens must be"),
        ({"tokens": [*SPECIALS, "a", "a"], "counts": [0] * 6}, "twice: 'a'"),
        ({"counts": [0]}, "1 counts for 5 tokens"),
        ({"tokens": [*SPECIALS, "a\ud800"]}, "token 4 has a lone surrogate"),
        ({"counts": [0, 0, 10**30, 0, 1]}, "token 2 has a count that is negative or far too large"),
    ],
)
def test_load_refuses_in_one_line_that_names_the_file(tmp_path: Path, text, says: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(text if isinstance(text, str) else json.dumps({**GOOD, **text}))
    with pytest.raises(UserError, match=says) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
