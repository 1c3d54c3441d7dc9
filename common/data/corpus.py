"""Sentences as token ids in a memory-mapped file: memory use does not grow with the corpus."""

from __future__ import annotations

import json
import mmap
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from common.files import atomic_write

_FORMAT = "unroll.corpus"
_VERSION = 1
_HEADER = 512  # bytes: one line of JSON, padded with blanks
_BLOCK = 1 << 20  # ids that are checked and written at a time
# Each sentence read may add 64 KiB of the mapped file to the resident memory of the process.
_READS_BEFORE_RELEASE = 1024


class Corpus(Sequence[np.ndarray]):
    """The token ids of sentences, in a file that `write_corpus` wrote.

    Opening reads only the header; the operating system caches as much of the file as it has room
    for. Pickled as its path, so that sending it to another process costs nothing.

        corpus = Corpus.open("train.en.ids")
        corpus[7]                             # array([ 12, 5, 940], dtype=uint16)
        corpus.lengths                        # (N,)
        corpus.padded([7, 3], eos=EOS)        # (2, T)

    Args:
        path: the file; `open` checks it first.
        header: the fields of its first line.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.vocabulary_size: int = header["vocabulary_size"]
        self._reads = 0
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        count, tokens, kind = header["sentences"], header["tokens"], np.dtype(header["dtype"])
        layout = _layout(count, tokens, kind)
        self._ids = np.frombuffer(self._map, kind, tokens, _HEADER)  # (M,)
        self._offsets = np.frombuffer(self._map, "<i8", count + 1, layout[0])  # (N + 1,)
        self._lengths = np.frombuffer(self._map, "<i4", count, layout[1])  # (N,)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Corpus:
        """Open what `write_corpus` wrote.

        Raises:
            UserError: the file is missing, truncated, of another kind, or of another version.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"{path}: there is no such corpus of token ids.")
        with open(path, "rb") as file:
            header = _read_header(path, file.read(_HEADER))
        kind = np.dtype(header["dtype"])
        _, _, size = _layout(header["sentences"], header["tokens"], kind)
        if path.stat().st_size != size:
            raise UserError(
                f"{path}: {path.stat().st_size:,} bytes of {size:,}. Delete the file; it is made "
                "again from the text."
            )
        corpus = cls(path, header)
        if corpus._offsets[0] != 0 or corpus._offsets[-1] != header["tokens"]:
            raise UserError(f"{path}: damaged. Delete the file; it is made again from the text.")
        return corpus

    @property
    def lengths(self) -> np.ndarray:
        """(N,) int32, read-only: the tokens of each sentence."""
        return self._lengths

    @property
    def tokens(self) -> int:
        """The number of tokens of all sentences."""
        return len(self._ids)

    def __len__(self) -> int:
        return len(self._lengths)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        """The ids of a sentence (T,), a copy; or of each sentence of a slice."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = range(len(self))[index]  # negative indices and IndexError, as for a list
        self._release(1)
        return self._ids[self._offsets[position] : self._offsets[position + 1]].copy()

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.__getitem__, range(len(self)))

    def counts(self) -> np.ndarray:
        """(V,) int64: how often each id occurs."""
        counts = np.zeros(self.vocabulary_size, np.int64)
        for first in range(0, self.tokens, _BLOCK):
            counts += np.bincount(self._ids[first : first + _BLOCK], minlength=len(counts))
            self._release(_READS_BEFORE_RELEASE)
        return counts

    def padded(
        self,
        indices: Sequence[int] | np.ndarray,
        *,
        bos: int | None = None,
        eos: int | None = None,
        pad: int = 0,
        reverse: bool = False,
    ) -> Tensor:
        """Some sentences as one padded matrix.

        Args:
            indices: (B,) of the sentences.
            bos, eos: put before and after each sentence; None: nothing.
            pad: fills shorter rows, on the right.
            reverse: the tokens of each sentence from last to first (Sutskever et al. 2014).

        Returns:
            (B, T) int64, T the longest, with bos and eos.

        Raises:
            IndexError: there is no such sentence.
        """
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)  # (B,)
        lengths, starts = self._lengths[rows], self._offsets[:-1][rows]
        self._release(len(rows))
        before = int(bos is not None)
        longest = int(lengths.max(initial=0))
        steps = np.arange(longest)  # (T,)
        real = steps < lengths[:, None]  # (B, T)
        order = lengths[:, None] - 1 - steps if reverse else steps
        result = np.full((len(rows), before + longest + int(eos is not None)), pad, dtype=np.int64)
        result[:, before : before + longest][real] = self._ids[(starts[:, None] + order)[real]]
        if bos is not None:
            result[:, 0] = bos
        if eos is not None:
            result[np.arange(len(rows)), before + lengths] = eos
        return torch.from_numpy(result)

    def _release(self, reads: int) -> None:
        """Unmap the pages read so far, once in `_READS_BEFORE_RELEASE` reads.

        They stay in the system's file cache; mapped, they count as resident memory of this process,
        which would grow to the size of the file.
        """
        self._reads += reads
        if self._reads >= _READS_BEFORE_RELEASE:
            self._reads = 0
            if hasattr(mmap, "MADV_DONTNEED"):
                self._map.madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus.open, (self.path,)

    def __repr__(self) -> str:
        return f"Corpus({self.path}: {len(self):,} sentences, {self.tokens:,} tokens)"


def write_corpus(
    path: str | os.PathLike[str], sentences: Iterable[Sequence[int]], vocabulary_size: int
) -> None:
    """Write the token ids of sentences to a file, atomically.

    Ids take two bytes if the vocabulary allows it, else four. Memory use: 4 bytes per sentence.

    Args:
        path: the file; its folder must exist.
        sentences: the ids of each, iterated once.
        vocabulary_size: ids are smaller than this.

    Raises:
        ValueError: an id is outside of the vocabulary.
        OSError: the file could not be written.
    """
    code = "H" if vocabulary_size <= 1 << 16 else "i"
    kind = np.dtype("<u2" if code == "H" else "<i4")
    ids, lengths, tokens = array(code), array("i"), 0
    with atomic_write(path, "wb") as file:
        file.write(bytes(_HEADER))
        for sentence in sentences:
            try:
                ids.extend(sentence)
            except OverflowError:
                raise ValueError(_outside(len(lengths), vocabulary_size)) from None
            lengths.append(len(sentence))
            if len(ids) >= _BLOCK:
                tokens += _write_ids(file, ids, kind, vocabulary_size, len(lengths))
                del ids[:]
        tokens += _write_ids(file, ids, kind, vocabulary_size, len(lengths))
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "dtype": kind.str,
            "sentences": len(lengths),
            "tokens": tokens,
            "vocabulary_size": vocabulary_size,
        }
        file.write(bytes(_layout(len(lengths), tokens, kind)[0] - file.tell()))
        _write_lengths(file, np.frombuffer(lengths, np.intc))
        file.seek(0)
        file.write(json.dumps(header).encode().ljust(_HEADER - 1) + b"\n")


def _write_ids(file: IO[bytes], ids: array[int], kind: np.dtype, size: int, sentence: int) -> int:
    values = np.frombuffer(ids, kind.newbyteorder("=")) if ids else np.empty(0, kind)
    if len(values) and not 0 <= values.min() <= values.max() < size:
        raise ValueError(_outside(sentence, size))
    file.write(values.astype(kind, copy=False).tobytes())
    return len(values)


def _outside(sentence: int, size: int) -> str:
    return f"an id in sentence {sentence} or before is outside of a vocabulary of {size}"


def _write_lengths(file: IO[bytes], lengths: np.ndarray) -> None:
    """Write the offsets of the sentences with the end of the last, and then their lengths."""
    start = 0
    file.write(np.zeros(1, "<i8").tobytes())
    for first in range(0, len(lengths), _BLOCK):
        ends = start + np.cumsum(lengths[first : first + _BLOCK], dtype=np.int64)
        file.write(ends.astype("<i8").tobytes())
        start = int(ends[-1])
    file.write(lengths.astype("<i4").tobytes())


def _layout(sentences: int, tokens: int, kind: np.dtype) -> tuple[int, int, int]:
    """The positions of the offsets, of the lengths and of the end of the file, in bytes."""
    offsets = -(-(_HEADER + tokens * kind.itemsize) // 8) * 8
    lengths = offsets + 8 * (sentences + 1)
    return offsets, lengths, lengths + 4 * sentences


def _read_header(path: Path, data: bytes) -> dict[str, Any]:
    try:
        header = json.loads(data)
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise UserError(f"{path}: not a corpus of token ids.")
    if header.get("version") != _VERSION:
        raise UserError(
            f"{path}: a corpus of format version {header.get('version')!r}; this program reads "
            f"{_VERSION}. Delete the file; it is made again from the text."
        )
    numbers = [header.get(name) for name in ("sentences", "tokens", "vocabulary_size")]
    usable = all(type(number) is int and number >= 0 for number in numbers)
    if not usable or header.get("dtype") not in ("<u2", "<i4"):
        raise UserError(f"{path}: damaged. Delete the file; it is made again from the text.")
    return header
