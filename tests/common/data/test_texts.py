"""A text as tokens, and the parts of it that a language model reads."""

from __future__ import annotations

import gzip

import pytest
import torch

from common.data.texts import TextTokens, read_split, streams, windows
from common.errors import UserError


def test_characters_and_words():
    text = "A dog's 2 toys.\n\nÜber alles!\n"
    assert TextTokens("characters").split(text) == [list(text)]
    (words,) = TextTokens("words").split(text)
    assert words == ["a", "dog", "'", "s", "2", "toys", ".", "über", "alles", "!"]
    lines = TextTokens("words", lines=True)
    assert lines.split(text) == [words[:7], words[7:]]
    assert lines.join(words[:2]) == "a dog" and TextTokens("characters").join("ab") == "ab"


def test_the_splits_of_one_file_and_of_several(tmp_path):
    path = tmp_path / "all.txt"
    path.write_text("0123456\n89\n" * 2)  # 22 characters
    assert read_split(path, "train") == "0123456\n89\n0123456\n"
    assert read_split(path, "val") == "89\n"
    assert read_split(path, "train") + read_split(path, "val") == path.read_text()
    path.write_text("ab\n" * 11 + "cdefgh")
    assert read_split(path, "val", lines=True) == "cdefgh"
    with pytest.raises(UserError, match=r"'test'; it has train, val"):
        read_split(path, "test")
    (tmp_path / "train.en.gz").write_bytes(gzip.compress(b"one\n"))
    (tmp_path / "val.en.gz").write_bytes(gzip.compress(b"two\n"))
    assert read_split(tmp_path / "train.en.gz", "train") == "one\n"
    assert read_split(tmp_path / "train.en.gz", "val") == "two\n"
    with pytest.raises(UserError, match=r"test\.en\.gz does not exist"):
        read_split(tmp_path / "train.en.gz", "test")
    path.write_bytes(b"\xff\xff\xfa")
    with pytest.raises(UserError, match="not UTF-8"):
        read_split(path, "train")
    path.write_text(" \n")
    with pytest.raises(UserError, match="no text"):
        read_split(path, "train")


@pytest.mark.parametrize("steps", [1, 5, 16, 17, 23, 24, 25])
def test_windows_that_follow_each_other_score_each_token_once(steps):
    ids = list(range(100, 101 + steps))
    tokens, targets = windows(ids, 8, 8)
    scored = targets[targets != 0].tolist()
    assert scored == ids[1:] and tokens[targets != 0].tolist() == ids[:-1]
    tokens, targets = windows(ids, 8, 5, context=3)
    real = targets != 0
    assert targets[real].tolist() == ids[1:] and tokens[real].tolist() == ids[:-1]
    assert not targets[1:, :3].any() and tokens[1:, :3].all()


def test_all_windows():
    tokens, targets = windows(range(10, 16), 3, 1)
    assert tokens.tolist() == [[10, 11, 12], [11, 12, 13], [12, 13, 14]]
    assert targets.tolist() == [[11, 12, 13], [12, 13, 14], [13, 14, 15]]


def test_streams_go_on_from_chunk_to_chunk():
    chunks = streams(range(20), 3, 4, start=7)
    assert [(tuple(a.shape), later) for a, _, later in chunks] == [((3, 4), False), ((3, 2), True)]
    tokens = torch.cat([a for a, _, _ in chunks], 1)
    targets = torch.cat([b for _, b, _ in chunks], 1)
    assert tokens.flatten().tolist() == [(7 + n) % 20 for n in range(18)]
    assert targets.flatten().tolist() == [(8 + n) % 20 for n in range(18)]
    with pytest.raises(UserError, match="4 rows"):
        streams(range(4), 4, 2)
    with pytest.raises(UserError, match="nothing to predict"):
        windows([1], 4, 2)
