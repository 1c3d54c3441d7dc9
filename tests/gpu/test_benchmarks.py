"""The benchmarks on a GPU: all that is timed is there."""

from __future__ import annotations

import pytest

from experiments.benchmarks import beam, captioner, decoder, recurrent, translator
from experiments.benchmarks.harness import machine

BENCHMARKS = {
    "attention": (decoder.attention_decoder, {"regions": 4, "batch": 3, "vocabulary": 20}),
    "context": (decoder.context_decoder, {"batch": 3, "vocabulary": 20}),
    "beam": (beam.batched_beam, {"sentences": 3, "beam_size": 2, "vocabulary": 20}),
    "training": (translator.training, {"batches": 1, "batch_size": 2}),
    "decoding": (translator.decoding, {"sentences": 2, "beam_size": 2}),
    "recurrent": (recurrent.standard_cell, {"cell": "lstm", "batch": 2, "steps": 3}),
    "captioner": (captioner.training, {"batches": 1, "batch_size": 4}),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark(device, name):
    measure, sizes = BENCHMARKS[name]
    comparison = measure(**sizes, rounds=1, device=device)  # type: ignore[operator]
    assert all(timing.fastest > 0 for timing in comparison.timings)


def test_the_machine_has_a_gpu(device):
    assert machine(device)["gpu"] and machine()["gpu"] is None
