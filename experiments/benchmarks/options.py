"""What the benchmarks' command line lets a user choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from tyro.conf import Positional

from common.config.bounds import Positive

Timed: TypeAlias = Literal["recurrent", "decoder", "beam", "translator", "captioner"]
Name: TypeAlias = Literal[Timed, "padding", "corpus"]


@dataclass(frozen=True)
class BenchmarkOptions:
    """Measure the speed of the parts in which training and decoding spend their time.

    `compare OTHER_CHECKOUT` compares it with another version of the code.
    """

    names: Positional[tuple[Name, ...]] = (*get_args(Timed), "padding")
    """Which benchmarks; corpus, which takes some minutes and 2 GB of disk, only if it is named."""
    threads: int = 1
    """CPU threads; one gives the steadiest ratios."""
    device: str = "cpu"
    """Where all of it is computed, but for padding and corpus: cpu, cuda, cuda:1, mps, or any other
    device of PyTorch; auto takes a GPU if there is one."""
    data: Path | None = None
    """A folder of captions, for the padding of its batches; random lengths by default."""
    corpus_dir: Path = Path("runs/benchmark-corpus")
    """Folder for the generated pairs of corpus; it can be deleted afterwards."""
    corpus_pairs: int = 5_000_000
    """How many pairs corpus generates."""
    json: Path | None = None
    """Write the figures and the machine's description to this file."""


@dataclass(frozen=True)
class CompareOptions:
    """Measure this checkout and another one in turn, and print the ratio of their speeds."""

    other: Positional[Path]
    """The root folder of the other checkout."""
    names: Positional[tuple[Timed, ...]] = get_args(Timed)
    """Which benchmarks."""
    rounds: Positive = 15
    """Measured rounds of each row."""
    threads: Positive = 1
    """CPU threads of each process."""
    device: str = "cpu"
    """Where all of it is computed: cpu, cuda, cuda:1, mps, or any other device of PyTorch."""
