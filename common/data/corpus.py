"""Sentences as token ids in memory-mapped files: memory use does not grow with their tokens."""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from common.data.arrays import map_array
from common.errors import UserError
from common.files import atomic_write, seal

_BLOCK = 1 << 20  # ids that are checked and written at a time
# Each sentence read may add 64 KiB of the mapped file to the resident memory of the process.
_READS_BEFORE_RELEASE = 1024


class Corpus:
    """The token ids of N sentences, in two files that `write_corpus` wrote.

    PATH.ids.npy holds the ids of all sentences (M,), PATH.offsets.npy where each begins and the last
    ends (N + 1,), each with a checksum after its array. The operating system caches as much of them as
    it has room for. Pickled as its path, so that sending it to another process costs little.

        corpus = Corpus("train.en")
        corpus[7]                             # array([ 12, 5, 940], dtype=uint16)
        corpus.lengths                        # (N,)
        corpus.padded([7, 3], eos=EOS)        # (2, T)

    Args:
        path: of the files, without `.ids.npy`.
        vocabulary_size: ids must be smaller; None: they are not looked at.

    Raises:
        UserError: a file is missing, of another kind, or not as it was written.
    """

    def __init__(self, path: str | os.PathLike[str], vocabulary_size: int | None = None) -> None:
        self.path = Path(path)
        self._reads = 0
        ids, offsets = _mapped(f"{path}.ids.npy", 2), _mapped(f"{path}.offsets.npy", 8)
        self._maps = [ids.base, offsets.base]
        # Slices of np.memmap cost five times more.
        self._ids, self._offsets = np.asarray(ids), np.asarray(offsets)
        if (
            not len(offsets)
            or offsets[0] != 0
            or offsets[-1] != len(ids)
            or self.lengths.min(initial=0) < 0
        ):
            raise _damaged(f"{path}.offsets.npy", "it is of other ids")
        if vocabulary_size is not None:
            for block in self._blocks():
                if not 0 <= block.min() <= block.max() < vocabulary_size:
                    raise _damaged(f"{path}.ids.npy", "ids are outside of the vocabulary")

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N,) int32, read-only: the tokens of each sentence."""
        lengths = np.diff(self._offsets).astype(np.int32)
        lengths.flags.writeable = False
        return lengths

    @property
    def tokens(self) -> int:
        """The number of tokens of all sentences."""
        return len(self._ids)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """The ids of a sentence (T,), a copy."""
        position = range(len(self))[index]  # negative indices and IndexError, as for a list
        self._release(1)
        return self._ids[self._offsets[position] : self._offsets[position + 1]].copy()

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.__getitem__, range(len(self)))

    def counts(self, vocabulary_size: int) -> np.ndarray:
        """(V,) int64: how often each id of a vocabulary of V occurs."""
        counts = np.zeros(vocabulary_size, np.int64)
        for block in self._blocks():
            counts += np.bincount(block, minlength=len(counts))
        return counts

    def _blocks(self) -> Iterator[np.ndarray]:
        """All ids, in parts."""
        for first in range(0, self.tokens, _BLOCK):
            yield self._ids[first : first + _BLOCK]
            self._release(_READS_BEFORE_RELEASE)

    def padded(
        self,
        indices: Sequence[int] | np.ndarray,
        *,
        bos: int | None = None,
        eos: int | None = None,
        pad: int = 0,
    ) -> Tensor:
        """Some sentences as one padded matrix.

        Args:
            indices: (B,) of the sentences.
            bos, eos: put before and after each sentence; None: nothing.
            pad: fills shorter rows, on the right.

        Returns:
            (B, T) int64, T the longest, with bos and eos.

        Raises:
            IndexError: there is no such sentence.
        """
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)  # (B,)
        lengths, starts = self.lengths[rows], self._offsets[:-1][rows]
        self._release(len(rows))
        before = int(bos is not None)
        longest = int(lengths.max(initial=0))
        steps = np.arange(longest)  # (T,)
        real = steps < lengths[:, None]  # (B, T)
        result = np.full((len(rows), before + longest + int(eos is not None)), pad, dtype=np.int64)
        result[:, before : before + longest][real] = self._ids[(starts[:, None] + steps)[real]]
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
            for each in self._maps:
                if isinstance(each, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                    each.madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.path,)

    def __repr__(self) -> str:
        return f"Corpus({self.path}: {len(self):,} sentences, {self.tokens:,} tokens)"


def _mapped(path: str, least: int) -> np.memmap:
    """An array (N,) of integers of so many bytes, or more."""
    try:
        array = map_array(path)
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.itemsize < least:
        raise _damaged(path, f"{array.dtype} of shape {array.shape}")
    return array


def _damaged(path: str, why: str) -> UserError:
    return UserError(
        f"{path}: damaged, or not of a corpus of token ids ({why}). Delete the file; it is made again "
        "from the text."
    )


def write_corpus(
    path: str | os.PathLike[str], sentences: Iterable[Sequence[int]], vocabulary_size: int
) -> None:
    """Write the token ids of sentences as a `Corpus`, each file atomically.

    Ids take two bytes if the vocabulary allows it, else four. Memory use: 8 bytes per sentence.

    Args:
        path: of the files, without `.ids.npy`; its folder must exist.
        sentences: the ids of each, iterated once.
        vocabulary_size: ids are smaller than this.

    Raises:
        ValueError: an id is outside of the vocabulary.
        OSError: the files could not be written.
    """
    kind = np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<i4")
    ids, offsets = array("q"), array("q", [0])
    with atomic_write(f"{path}.ids.npy", "w+b") as file:
        _write_header(file, kind, 0)
        for sentence in sentences:
            ids.extend(sentence)
            offsets.append(offsets[-1] + len(sentence))
            if len(ids) >= _BLOCK:
                _write_ids(file, ids, kind, vocabulary_size)
        _write_ids(file, ids, kind, vocabulary_size)
        file.seek(0)
        _write_header(file, kind, offsets[-1])
        seal(file)
    with atomic_write(f"{path}.offsets.npy", "w+b") as file:
        np.save(file, np.frombuffer(offsets, np.int64))
        seal(file)


def _write_header(file: IO[bytes], kind: np.dtype, tokens: int) -> None:
    """The header of a .npy file; NumPy pads it so that its size does not depend on the shape."""
    header = {"descr": kind.str, "fortran_order": False, "shape": (tokens,)}
    np.lib.format.write_array_header_1_0(file, header)


def _write_ids(file: IO[bytes], ids: array[int], kind: np.dtype, size: int) -> None:
    """Write the ids, and empty the array."""
    values = np.array(ids, np.int64)
    if len(values) and not 0 <= values.min() <= values.max() < size:
        raise ValueError(
            f"ids {values.min()} to {values.max()} are outside of a vocabulary of {size}"
        )
    file.write(values.astype(kind).tobytes())
    del ids[:]
