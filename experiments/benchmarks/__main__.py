"""All benchmarks: a table on the screen, and JSON with the machine's description.

python -m experiments.benchmarks                       all of them
python -m experiments.benchmarks decoder beam --json benchmarks.json
python -m experiments.benchmarks translator --device cuda
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro
from tyro.conf import Positional

from common.device import choose_device
from common.errors import run_command
from common.files import write_json
from experiments.benchmarks import (
    beam,
    corpus,
    decoder,
    padding,
    precision,
    recurrent,
    translator,
)
from experiments.benchmarks.harness import Comparison, machine

Name = Literal["recurrent", "decoder", "beam", "translator", "precision", "padding", "corpus"]


@dataclass(frozen=True)
class BenchmarkOptions:
    """Measure the speed of the parts that training and decoding spend their time in."""

    names: Positional[tuple[Name, ...]] = (
        "recurrent",
        "decoder",
        "beam",
        "translator",
        "precision",
        "padding",
    )
    """Which of them; corpus, which takes some minutes and 2 GB of disk, only if it is named."""
    threads: int = 1
    """CPU threads; one gives the steadiest ratios."""
    device: str = "cpu"
    """Where all of it is computed, but for padding and corpus: cpu, cuda, cuda:1, mps, or any other
    device of PyTorch; auto takes a GPU if there is one."""
    data: Path | None = None
    """A folder of captions, for the padding of its batches; lengths are made up if not given."""
    corpus_dir: Path = Path("runs/benchmark-corpus")
    """Where corpus puts its generated pairs; it can be deleted afterwards."""
    corpus_pairs: int = 5_000_000
    """How many pairs corpus generates."""
    json: Path | None = None
    """Write the figures and the machine's description to this file."""


def comparisons(name: Name, device: torch.device) -> Iterator[Comparison]:
    """The timed comparisons of one benchmark."""
    work: dict[str, list[Callable[..., Comparison]]] = {
        "recurrent": [partial(recurrent.standard_cell, cell) for cell in recurrent.STANDARD],
        "decoder": [decoder.attention_decoder, decoder.context_decoder],
        "beam": [beam.batched_beam],
        "translator": [translator.training, translator.decoding],
        "precision": [
            precision.translator_training,
            precision.translator_search,
            precision.captioner_training,
            precision.captioner_search,
        ],
    }
    for each in work.get(name, []):
        yield each(device=device)


def main() -> None:
    """Run the benchmarks that the arguments name."""
    options = tyro.cli(BenchmarkOptions, prog="python -m experiments.benchmarks")
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    results: list[dict] = []
    for name in options.names:
        for comparison in comparisons(name, device):
            print(comparison.table() + "\n", flush=True)
            results.append(comparison.to_dict())
        if name == "padding":
            waste = padding.caption_padding(options.data)
            print(waste.line() + "\n", flush=True)
            results.append(dataclasses.asdict(waste))
        if name == "corpus":
            taken = corpus.footprint(options.corpus_dir, options.corpus_pairs)
            print(taken.line() + "\n", flush=True)
            results.append(dataclasses.asdict(taken))
    if options.json is not None:
        write_json(options.json, {"machine": machine(device), "results": results})


if __name__ == "__main__":
    run_command(main)
