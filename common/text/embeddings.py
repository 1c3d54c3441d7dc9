"""Pretrained word embeddings, from the text files of word2vec and GloVe."""

from __future__ import annotations

import os
import re
import unicodedata
from itertools import chain, takewhile
from pathlib import Path

import torch
from torch import Tensor, nn

from common.data.reading import byte_lines
from common.errors import UserError
from common.files import expanded
from common.progress import over
from common.text.vocabulary import PAD, SPECIALS, Vocabulary

_LARGEST = 1e15  # so that float32 can hold the variance of a hundred million of them


def read_embeddings(
    path: str | os.PathLike[str],
    vocabulary: Vocabulary,
    *,
    size: int | None = None,
    lowercase: bool = False,
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Read the vectors of a vocabulary's words from a text file of word2vec or GloVe.

        vectors, known = read_embeddings("glove.6B.300d.txt", vocabulary)
        layer = torch.nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=PAD)

    A line is a word and its D values, separated by blanks or tabs. word2vec's first line, the number
    of words and D, is optional; words may hold blanks (`. . .` of GloVe's 840B); the file may be
    compressed by gzip. Only the vocabulary's vectors are parsed and held in memory. Of a word that
    occurs twice the first vector is taken.

    Words that the file lacks, and special tokens, are sampled from a normal distribution with the mean
    and the standard deviation of the vectors found, so that they are about as long. (PyTorch's N(0, 1)
    would make them several times longer.) Padding is zero.

    Args:
        path: the file.
        vocabulary: of V tokens.
        size: the D that is needed; None accepts any.
        lowercase: for a vocabulary of lower-case words: take the vector of a word with capitals
            (Berlin) where the file lacks the lower-case spelling.
        seed: of the sampled vectors.

    Returns:
        vectors: (V, D) float32.
        known: (V,) bool, whether the file had the token.

    Raises:
        UserError: the file is missing, binary, cut off or of another D, a line of a word of the
            vocabulary is malformed (its number is given), or the file has none of the words.
    """
    path = expanded(path)
    ids = {token.encode(): number for number, token in enumerate(vocabulary) if token in vocabulary}
    # 2: the vector of the word itself was found, 1: of another spelling, which the word replaces.
    quality = torch.zeros(len(vocabulary), dtype=torch.int8)
    lines = enumerate(over(byte_lines(path), path.name, unit="lines"), 1)
    number, line = next(lines, (1, b""))
    if re.fullmatch(rb"\s*\d{1,18}\s+\d{1,18}\s*", line):
        dimension = int(line.split()[1])
        number, line = next(lines, (2, b""))
    else:
        dimension = len(list(takewhile(_is_number, reversed(line.split()[1:]))))
    _check_format(path, number, line, dimension, size)
    vectors = torch.zeros(len(vocabulary), dimension)
    first = number, line
    for number, line in chain([first], lines):
        word = (line.split(None, 1) or [b""])[0]
        token, found = ids.get(word), 2
        if token is None and (lowercase or not word.isascii()):
            token, found = ids.get(_normalized(word, lowercase)), 1
        if token is not None and quality[token] < found:
            values = _values(path, number, line, dimension)
            if values is not None:
                vectors[token], quality[token] = torch.tensor(values), found
    _values(path, number, line, dimension)  # of the last line, whatever its word: is it whole?
    known = quality > 0
    if not known.any():
        raise UserError(
            f"{path}: has none of the {len(ids):,} words of the vocabulary. Is it of another "
            "language, or of words where the vocabulary is of subwords or characters?"
        )
    _sample_unknown(vectors, known, seed)
    return vectors, known


@torch.no_grad()
def start_from_pretrained(
    embedding: nn.Embedding, path: Path, vocabulary: Vocabulary, *, lowercase: bool = False
) -> str:
    """Initialise an embedding (V, D) as `read_embeddings` reads it; return its coverage, in one line."""
    size = embedding.embedding_dim
    vectors, known = read_embeddings(path, vocabulary, size=size, lowercase=lowercase)
    embedding.weight.copy_(vectors)
    counts = torch.tensor(vocabulary.counts, dtype=torch.float64)
    counts[vocabulary.eos_id] = 0
    covered = f" ({counts[known].sum() / counts.sum():.1%} of the text)" if any(counts) else ""
    words = len(vocabulary) - len(SPECIALS)
    return f"{known.sum():,} of {words:,} words{covered} have vectors of {size}"


def _check_format(path: Path, number: int, line: bytes, dimension: int, size: int | None) -> None:
    """Raise UserError unless the first line after a header is a word and `size` values."""
    if line.startswith(b"PK\x03\x04"):
        raise UserError(f"{path}: a zip archive. Unpack it, and name the file in it.")
    values = line.split()[-dimension:]
    if dimension < 1 or len(values) < dimension or not all(map(_is_number, values)):
        raise UserError(
            f"{path}:{number}: not a word and its values. Only the text formats of word2vec and "
            "GloVe can be read; convert a binary file."
        )
    if size not in (None, dimension):
        raise UserError(
            f"{path}: its vectors have {dimension} values, the model's embeddings {size}. Set the "
            f"embedding size to {dimension}, or use a file of vectors of {size}."
        )


def _values(path: Path, number: int, line: bytes, size: int) -> list[float] | None:
    """The values of a line; None if they are of a longer word, which only begins with this one."""
    fields = line.split()
    rest, values = fields[1:-size], fields[-size:]
    # One value too many is an error, not the rest of a word.
    if len(fields) > size and all(map(_is_number, values)) and not any(map(_is_number, rest)):
        return None if rest else [float(value) for value in values]
    word = repr(b"".join(fields[:1])[:40].decode(errors="replace"))
    what = f"{word} and {max(0, len(fields) - 1)} values"
    if len(fields) == size + 1:
        what = f"values of {word} that are no finite numbers of a usual size"
    raise UserError(
        f"{path}:{number}: {what} instead of a word and {size} values. Mend or delete the line, or "
        "fetch the file again."
    )


def _is_number(field: bytes) -> bool:
    try:
        return abs(float(field)) <= _LARGEST
    except ValueError:
        return False


def _normalized(word: bytes, lowercase: bool) -> bytes:
    text = word.decode(errors="replace")
    return unicodedata.normalize("NFC", text.lower() if lowercase else text).encode()


def _sample_unknown(vectors: Tensor, known: Tensor, seed: int) -> None:
    """Fill the rows that are not known, in place. vectors: (V, D); known: (V,)."""
    found = vectors[known]  # (K, D)
    mean = found.mean(0)
    # One vector has no deviation from the mean: take that of its own values.
    spread = (found - mean).std(correction=0) if len(found) > 1 else found.std(correction=0)
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
    vectors[~known] = (mean + spread * noise)[~known]
    vectors[PAD] = 0
