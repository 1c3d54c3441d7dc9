"""Vectors of words that others have learnt, from the text files of word2vec and GloVe."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from common.data.reading import LineFile
from common.errors import UserError
from common.text.vocabulary import PAD, SPECIALS, Vocabulary

_PEEK = 100  # lines from which the number of values is told where no header tells it
_LINES_PER_UPDATE = 5000


@dataclass(frozen=True)
class PretrainedEmbeddings:
    """The first values of an embedding, one row for each token of a vocabulary.

        layer = torch.nn.Embedding.from_pretrained(found.vectors, freeze=False, padding_idx=PAD)

    Args:
        vectors: (V, D) float32.
        known: (V,) bool, whether the file had the token.
    """

    vectors: Tensor
    known: Tensor

    @property
    def found(self) -> int:
        """How many words of the vocabulary the file had."""
        return int(self.known.sum())

    def summary(self, vocabulary: Vocabulary) -> str:
        """What was found, in one line; of the training text too if the vocabulary counted it."""
        words = len(vocabulary) - len(SPECIALS)
        counts = torch.tensor(vocabulary.counts, dtype=torch.float64)
        counts[vocabulary.eos_id] = 0  # the ends of sentences are no words
        share = (
            f" ({counts[self.known].sum() / counts.sum():.1%} of the text)" if any(counts) else ""
        )
        return f"{self.found:,} of {words:,} words{share} have vectors of {self.vectors.shape[1]}"


def read_embeddings(
    path: str | os.PathLike[str],
    vocabulary: Vocabulary,
    *,
    size: int | None = None,
    lowercase: bool = False,
    seed: int = 0,
) -> PretrainedEmbeddings:
    """Read the vectors of a vocabulary's words from a file in the text format of word2vec or GloVe.

    A line is a word and its D values, between blanks or tabs. word2vec's first line, the number of
    words and D, may be there or not; words may hold blanks (`. . .` of GloVe's 840B). The file may
    be of any length, plain or compressed by gzip: no more is kept of it than the vocabulary's words,
    and only their values are looked at. Of a word that comes twice the first vector counts, which
    in these files is that of the more frequent spelling.

    A word that the file lacks is drawn from a normal distribution of the mean of the vectors found
    and of their spread about it: it looks like one word more. (From PyTorch's N(0, 1) it would be
    several times longer than the others, and outweigh them; zeros would make all such words one
    word until training tells them apart.) Padding is zero; the other special tokens are drawn.

    Args:
        path: the file.
        vocabulary: of V tokens.
        size: values that each vector must have; None: what the file has.
        lowercase: a word that the file has in no spelling of the vocabulary's own may be there with
            capitals (Berlin, for a vocabulary of lower-case words).
        seed: of the vectors that are drawn.

    Raises:
        UserError: the file is missing, binary, cut off or of another size, a line of a word that is
            asked for is malformed (it is named), or none of the words is there.
    """
    path = Path(path)
    wanted = {
        token.encode(): number for number, token in enumerate(vocabulary) if token in vocabulary
    }
    with (
        LineFile(path) as lines,
        tqdm(
            total=path.stat().st_size,
            desc=f"vectors of {path.name}",
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None,
        ) as bar,
    ):
        reader = _Reader(path, lines, size)
        vectors = torch.zeros(len(vocabulary), reader.size)
        # 2: the word as it is, 1: in another spelling, which the word as it is replaces.
        match = torch.zeros(len(vocabulary), dtype=torch.int8)
        for read, (number, word, line) in enumerate(reader):
            if read % _LINES_PER_UPDATE == 0:
                bar.update(lines.position - bar.n)
            token, quality = wanted.get(word), 2
            if token is None and (lowercase or not word.isascii()):
                token, quality = wanted.get(_folded(word, lowercase)), 1
            if token is not None and match[token] < quality:
                values = reader.values(number, word, line)
                if values is not None:
                    vectors[token] = torch.tensor(values)
                    match[token] = quality
    known = match > 0
    if not known.any():
        raise UserError(
            f"{path}: has none of the {len(wanted):,} words of the vocabulary. Is it of another "
            "language, or of words where the vocabulary is of subwords or characters?"
        )
    _draw_others(vectors, known, seed)
    return PretrainedEmbeddings(vectors, known)


@torch.no_grad()
def start_from_pretrained(
    embedding: nn.Embedding,
    path: str | os.PathLike[str],
    vocabulary: Vocabulary,
    *,
    lowercase: bool = False,
) -> str:
    """Put the vectors of a file into an embedding, from which it is then trained further.

    Args:
        embedding: (V, D) of the vocabulary.
        path, vocabulary, lowercase: as `read_embeddings` takes them.

    Returns:
        How many words were found, as a line for the user.

    Raises:
        UserError: as `read_embeddings`; its vectors must have D values.
    """
    found = read_embeddings(path, vocabulary, size=embedding.embedding_dim, lowercase=lowercase)
    embedding.weight.copy_(found.vectors)
    return found.summary(vocabulary)


class _Reader:
    """The lines of a file of vectors, told apart into words and the rest.

    Iterating gives (number of the line, word, line). The word ends at the first blank; `values` sees
    whether it really ends there.
    """

    def __init__(self, path: Path, lines: Iterable[bytes], size: int | None) -> None:
        self.path = path
        iterator = iter(lines)
        first = list(islice(iterator, _PEEK))
        if not first or first[0].startswith(b"PK\x03\x04"):
            what = "a zip archive. Unpack it, and name the file in it" if first else "empty"
            raise UserError(f"{path}: {what}.")
        header = first[0].split()
        self._count = None
        self._start = 1
        if len(header) == 2 and all(field.isdigit() for field in header):
            self._count, self.size = map(int, header)
            self._start = 2
            del first[0]
        else:
            # Most lines have a word without blanks.
            self.size = Counter(len(line.split()) for line in first).most_common(1)[0][0] - 1
        if self.size < 1 or not first or _floats(first[0].split()[-self.size :]) is None:
            raise UserError(
                f"{path}:{self._start}: not a word and its values. Only the text formats of word2vec "
                "and GloVe can be read; convert a binary file."
            )
        if size not in (None, self.size):
            raise UserError(
                f"{path}: its vectors have {self.size} values, the model's embeddings {size}. Set the "
                f"embedding size to {self.size}, or use a file of vectors of {size}."
            )
        self._lines = chain(first, iterator)
        self._separator = b"\t" if b"\t" in first[0] else b" "

    def __iter__(self) -> Iterator[tuple[int, bytes, bytes]]:
        separator, number, line = self._separator, self._start - 1, b""
        for number, line in enumerate(self._lines, start=self._start):
            yield number, line[: line.find(separator)], line
        words = number - self._start + 1
        if self._count not in (None, words):
            raise UserError(
                f"{self.path}: {words:,} words instead of the {self._count:,} that its first line "
                "tells of. Fetch it again."
            )
        if len(line.split()) <= self.size:
            raise self._malformed(number, line)

    def values(self, number: int, word: bytes, line: bytes) -> list[float] | None:
        """The values of a line; None if it is of a longer word, which only begins with this one.

        Raises:
            UserError: the line is malformed.
        """
        fields = line.split()
        rest = fields[1 : -self.size]
        values = _floats(fields[-self.size :]) if len(fields) > self.size else None
        # A value too many is not the end of a word.
        if values is None or any(_floats([field]) for field in rest):
            raise self._malformed(number, line)
        return None if rest else values

    def _malformed(self, number: int, line: bytes) -> UserError:
        fields = line.split()
        word = fields[0][:40].decode(errors="replace") if fields else ""
        what = f"{word!r} and {len(fields) - 1} values" if fields else "nothing"
        if len(fields) == self.size + 1:
            what = f"values of {word!r} that are no numbers"
        return UserError(
            f"{self.path}:{number}: {what} instead of a word and {self.size} values. Mend or delete "
            "the line, or fetch the file again."
        )


def _floats(fields: list[bytes]) -> list[float] | None:
    """The numbers of fields, None if one is no finite number."""
    try:
        values = [float(field) for field in fields]
    except ValueError:
        return None
    return values if all(map(isfinite, values)) else None


def _folded(word: bytes, lowercase: bool) -> bytes:
    if word.isascii():
        return word.lower()
    text = word.decode(errors="replace")
    return unicodedata.normalize("NFC", text.lower() if lowercase else text).encode()


def _draw_others(vectors: Tensor, known: Tensor, seed: int) -> None:
    """Fill the rows that are not known, in place. vectors: (V, D); known: (V,)."""
    found = vectors[known]  # (K, D)
    mean = found.mean(0)
    # One vector has no spread about itself: then that of its own values.
    spread = (found - mean).std(correction=0) if len(found) > 1 else found.std(correction=0)
    generator = torch.Generator().manual_seed(seed)
    drawn = mean + spread * torch.randn(vectors.shape, generator=generator)
    vectors[~known] = drawn[~known]
    if not known[PAD]:
        vectors[PAD] = 0
