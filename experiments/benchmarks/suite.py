"""The benchmarks by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import torch

from common.compute.device import choose_device
from common.files import write_json
from experiments.benchmarks import (
    beam,
    captioner,
    cells,
    corpus,
    decoder,
    padding,
    recurrent,
    translator,
)
from experiments.benchmarks.harness import Comparison, machine
from experiments.benchmarks.options import BenchmarkOptions


def comparisons(name: str, device: torch.device) -> Iterator[Comparison]:
    """The timed comparisons of one benchmark."""
    work: dict[str, list[Callable[..., Comparison]]] = {
        "recurrent": [
            *(partial(recurrent.standard_cell, cell) for cell in recurrent.STANDARD),
            *(partial(recurrent.padded_standard_cell, cell) for cell in recurrent.STANDARD),
        ],
        "cells": [
            *(partial(cells.beside_torchrecurrent, peer) for peer in cells.PEERS),
            cells.min_gru,
            cells.min_gru_beside_its_peer,
            *(partial(cells.with_masks, cell) for cell in cells.MASKED),
        ],
        "decoder": [decoder.attention_decoder, decoder.context_decoder],
        "beam": [beam.batched_beam],
        "translator": [translator.training, translator.decoding],
        "captioner": [captioner.training, captioner.decoding],
    }
    for each in work.get(name, []):
        yield each(device=device)


def run(options: BenchmarkOptions) -> None:
    """Run the benchmarks that the options name."""
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    results: list[dict] = []
    for name in options.names:
        for comparison in comparisons(name, device):
            print(comparison.table() + "\n", flush=True)
            results.append(comparison.to_dict())
        other: padding.Waste | corpus.Footprint | None = None
        if name == "padding":
            other = padding.caption_padding(options.data)
        elif name == "corpus":
            other = corpus.footprint(options.corpus_dir, options.corpus_pairs)
        if other is not None:
            print(other.line() + "\n", flush=True)
            results.append(dataclasses.asdict(other))
    if options.json is not None:
        write_json(options.json, {"machine": machine(device), "results": results})
