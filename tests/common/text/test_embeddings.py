"""Pretrained vectors: every dialect of the format is read, what is malformed is named."""

from __future__ import annotations

import gzip
import re
import tracemalloc
from pathlib import Path

import pytest
import torch

from common.errors import UserError
from common.text import PAD, UNK, Vocabulary
from common.text.embeddings import read_embeddings, start_from_pretrained

VOCABULARY = Vocabulary(["dog", "berlin", ".", "한국", "über", "missing"])
ROWS = {
    "the": [9.0, 9.0, 9.0],
    "dog": [0.25, -1.5, 3e-2],
    ".": [1.0, 2.0, 3.0],
    "한국": [4.0, 5.0, 6.0],
    "Berlin": [7.0, 8.0, 9.0],
    "<unk>": [5.0, 5.0, 5.0],
}


def _lines(separator: str = " ", end: str = "\n") -> list[str]:
    return [separator.join([word, *map(str, values)]) + end for word, values in ROWS.items()]


def _write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.vec.gz"])
@pytest.mark.parametrize(("separator", "end"), [(" ", "\n"), (" ", " \n"), ("\t", "\r\n")])
@pytest.mark.parametrize("header", ["", "6 3\n"])
def test_every_dialect_gives_the_same_vectors(
    tmp_path: Path, name: str, separator: str, end: str, header: str
) -> None:
    path = _write(tmp_path / name, header + "".join(_lines(separator, end)))
    vectors, known = read_embeddings(path, VOCABULARY, size=3)
    assert vectors.shape == (len(VOCABULARY), 3) and vectors.dtype == torch.float32
    # Neither `berlin`, which has a capital here, nor `<unk>`, a special token of another vocabulary.
    numbers = VOCABULARY.encode(["dog", ".", "한국"])
    assert known.nonzero().flatten().tolist() == numbers
    for number in numbers:
        assert vectors[number].tolist() == pytest.approx(ROWS[VOCABULARY.tokens[number]])


def test_capitals_are_folded_only_if_asked_and_an_exact_word_wins(tmp_path: Path) -> None:
    berlin = VOCABULARY.encode(["berlin"])[0]
    for order in (["BERLIN 0 0 1", "Berlin 0 0 2", "berlin 0 0 3", "berlin 0 0 4"],) * 2:
        path = _write(tmp_path / "v.txt", "\n".join(order[:2]) + "\nx 1 1 1\ndog 1 1 1\n")
        assert not read_embeddings(path, VOCABULARY)[1][berlin]
        assert read_embeddings(path, VOCABULARY, lowercase=True)[0][berlin, 2] == 1
        path = _write(tmp_path / "v.txt", "\n".join(order) + "\n")
        for lowercase in (False, True):
            assert read_embeddings(path, VOCABULARY, lowercase=lowercase)[0][berlin, 2] == 3


def test_words_that_are_typed_in_another_way_are_found(tmp_path: Path) -> None:
    path = _write(tmp_path / "v.txt", "u\u0308ber 1 2\nU\u0308BER 3 4\n")
    vectors, _ = read_embeddings(path, VOCABULARY)
    assert vectors[VOCABULARY.encode(["über"])[0]].tolist() == [1, 2]


def test_words_with_blanks_inside_are_not_the_word_they_begin_with(tmp_path: Path) -> None:
    text = ". . . 7 7 7\ndog name@domain.com 8 8 8\n, 1 1 1\ndog 1 2 3\n. 4 5 6\n"
    for header in ("", "5 3\n"):
        vectors, _ = read_embeddings(_write(tmp_path / "v.txt", header + text), VOCABULARY)
        assert vectors[VOCABULARY.encode(["dog", "."])].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_other_words_look_like_those_found(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    words = [f"w{n}" for n in range(3000)]
    file = 0.3 * torch.randn(1500, 20, generator=generator) + torch.arange(20) / 10
    lines = [
        f"{word} {' '.join(map(str, row))}\n"
        for word, row in zip(words, file.tolist(), strict=False)
    ]
    path = _write(tmp_path / "v.txt", "".join(lines))
    vocabulary = Vocabulary(words)
    vectors, known = read_embeddings(path, vocabulary)
    found, sampled = vectors[known], vectors[~known][1:]
    assert torch.allclose(found, file, atol=1e-5)
    assert torch.allclose(sampled.mean(0), found.mean(0), atol=0.05)
    assert sampled.std(0).mean() == pytest.approx(0.3, rel=0.05)
    assert vectors[PAD].eq(0).all() and vectors[UNK].ne(0).all()
    assert torch.equal(read_embeddings(path, vocabulary)[0], vectors)
    other, _ = read_embeddings(path, vocabulary, seed=1)
    assert torch.equal(other[known], found) and not torch.equal(other, vectors)


def test_one_known_word_is_enough(tmp_path: Path) -> None:
    vectors, known = read_embeddings(_write(tmp_path / "v.txt", "dog 1 2 3\n"), VOCABULARY)
    assert known.sum() == 1 and vectors.isfinite().all()
    assert len(vectors[4:].unique(dim=0)) == 6


def test_an_embedding_takes_the_vectors_and_the_coverage_is_reported(tmp_path: Path) -> None:
    path = _write(tmp_path / "v.txt", "dog 1 2\n")
    vocabulary = Vocabulary.build([["dog", "dog", "dog", "cat"]] * 5, max_size=5)
    embedding = torch.nn.Embedding(len(vocabulary), 2)
    coverage = start_from_pretrained(embedding, path, vocabulary)
    assert coverage == "1 of 1 words (75.0% of the text) have vectors of 2"
    assert torch.equal(embedding.weight, read_embeddings(path, vocabulary)[0])
    coverage = start_from_pretrained(torch.nn.Embedding(6, 2), path, Vocabulary(["dog", "cat"]))
    assert coverage == "1 of 2 words have vectors of 2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "v.txt:1: not a word and its values"),
        ("6 3\n", "v.txt:2: not a word and its values"),
        ("{}\n", "v.txt:1: not a word and its values"),
        ("hello world\nthis is text\n", "v.txt:1: not a word and its values"),
        ("2 3\n\x00\x01\x02\x03", "v.txt:2: not a word and its values.*binary"),
        ("a 1 2 3\ndog 1 2\nb 1 2 3\n", r"v.txt:2: 'dog' and 2 values instead of .* 3 values"),
        ("a 1 2 3\ndog 1 2 3 4\nb 1 2 3\n", r"v.txt:2: 'dog' and 4 values"),
        ("a 1 2 3\ndog 1 x 3\nb 1 2 3\n", r"v.txt:2: values of 'dog' that are no finite numbers"),
        ("a 1 2 3\ndog 1 nan 3\nb 1 2 3\n", r"v.txt:2: values of 'dog' that are no finite numbers"),
        (
            "a 1 2 3\ndog 1 1e39 3\nb 1 2 3\n",
            r"v.txt:2: values of 'dog' that are no finite numbers",
        ),
        (f"1 {'9' * 5000}\ndog 1 2\n", r"v.txt:1: not a word and its values"),
        ("1 999999999999\ndog 1 2\n", r"v.txt:2: not a word and its values"),
        ("a 1 2 3\ndog 1 2 3\nb 1 2", r"v.txt:3: 'b' and 2 values"),
        ("a 1 2 3\nb 1 2 3\n", r"v.txt: has none of the 6 words"),
        ("PK\x03\x04xx", r"v.txt: a zip archive"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as info:
        read_embeddings(_write(tmp_path / "v.txt", text), VOCABULARY)
    assert "\n" not in str(info.value)


def test_another_size_says_what_to_do(tmp_path: Path) -> None:
    path = _write(tmp_path / "v.txt", "".join(_lines()))
    with pytest.raises(UserError, match=re.escape("Set the embedding size to 3")):
        read_embeddings(path, VOCABULARY, size=256)
    with pytest.raises(UserError, match="does not exist"):
        read_embeddings(tmp_path / "none.txt", VOCABULARY)


def test_a_long_file_is_not_held_in_memory(tmp_path: Path) -> None:
    values = " ".join(f"{n / 7:.4f}" for n in range(100))
    with open(tmp_path / "v.txt", "w", encoding="utf-8") as file:
        file.writelines(f"word{n} {values}\n" for n in range(30_000))  # about 20 MB
    tracemalloc.start()
    _, known = read_embeddings(tmp_path / "v.txt", Vocabulary(["word29999", "word7"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert known.sum() == 2
    assert peak < 2_000_000
