"""What the benchmarks' command line lets a user choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

from common.config.bounds import Positive
from common.config.marks import POSITIONAL, File, Folder, Metavar

Timed: TypeAlias = Literal["recurrent", "cells", "decoder", "beam", "translator", "captioner"]
Name: TypeAlias = Literal[Timed, "padding", "corpus"]


@dataclass(frozen=True)
class BenchmarkOptions:
    """Measure the speed of the parts in which training and decoding spend their time.

    `compare OTHER_CHECKOUT` measures it against another version of the code.
    """

    names: Annotated[tuple[Name, ...], POSITIONAL, Metavar("NAME")] = (*get_args(Timed), "padding")
    """recurrent, cells, decoder, beam, translator, captioner, padding, or corpus, which takes
    some minutes and 2 GB of disk and is measured only if it is named."""
    threads: Positive = 1
    """CPU threads; one gives the steadiest ratios."""
    device: Annotated[str, Metavar("DEVICE")] = "cpu"
    """Where all of it is computed, but for padding and corpus: cpu, cuda, cuda:1, mps, or any other
    device of PyTorch; auto takes a GPU if there is one."""
    data: Folder | None = None
    """Folder of captions, for the padding of its batches; lengths are made up by default."""
    corpus_dir: Folder = Path("runs/benchmark-corpus")
    """Where corpus puts its generated pairs; it can be deleted afterwards."""
    corpus_pairs: Positive = 5_000_000
    """How many pairs corpus generates."""
    json: File | None = None
    """Write the figures and the machine's description to this file."""


@dataclass(frozen=True)
class CompareOptions:
    """Measure this checkout and another one in turn, and print the ratio of their speeds."""

    other: Annotated[Path, POSITIONAL]
    """The root folder of the other checkout."""
    names: Annotated[tuple[Timed, ...], POSITIONAL, Metavar("NAME")] = get_args(Timed)
    """Which benchmarks: recurrent, cells, decoder, beam, translator, captioner."""
    rounds: Positive = 15
    """Measured rounds of each row."""
    threads: Positive = 1
    """CPU threads of each process."""
    device: Annotated[str, Metavar("DEVICE")] = "cpu"
    """Where all of it is computed: cpu, cuda, cuda:1, mps, or any other device of PyTorch."""
