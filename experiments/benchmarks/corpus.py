"""A corpus of millions of generated pairs: prepared once, then opened and trained on.

The measured process starts after the preparation, as every later run does: the time until its first
batch, and its peak memory.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from common.synthetic.phrases import write_phrases
from common.training.trainer import Trainer
from seq2seq.model import build_model
from seq2seq.options import TextOptions, TrainOptions
from seq2seq.prepare import prepare
from seq2seq.train import load_data, training_examples


@dataclass(frozen=True)
class Footprint:
    """Time and memory of training on a corpus.

    Args:
        pairs: of the training split.
        write_seconds: to generate them.
        prepare_seconds: to turn them into token ids, once.
        start_seconds: of a later process, from its imports to its first batch.
        steps: its updates.
        peak_gib: its peak resident memory.
    """

    pairs: int
    write_seconds: float
    prepare_seconds: float
    start_seconds: float
    steps: int
    peak_gib: float
    bar: str = "start under 20 s, memory under 1.5 GiB"

    def line(self) -> str:
        return (
            f"a corpus of {self.pairs:,} generated pairs   (bar: {self.bar})\n"
            f"  written in {self.write_seconds:.0f} s, prepared once in {self.prepare_seconds:.0f} s"
            f"\n  then: first batch after {self.start_seconds:.1f} s, peak memory "
            f"{self.peak_gib:.2f} GiB in {self.steps} updates"
        )


def footprint(folder: Path, pairs: int, steps: int = 300) -> Footprint:
    """Generate a corpus in a folder, prepare it, and train on it in a new process."""
    start = time.perf_counter()
    write_phrases(folder / "phrases", train=pairs, val=500, held_out=500)
    written = time.perf_counter()
    options = TrainOptions(
        data=str(folder / "phrases"),
        run_dir=folder / "run",
        cache_dir=folder / "cache",
        text=TextOptions(min_count=1),
    )
    prepare(load_data(options), options.text, options.cache_dir)
    prepared = time.perf_counter()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as process:
        seconds, peak = process.submit(
            _train, options, steps, torch.get_num_threads(), time.perf_counter()
        ).result()
    return Footprint(pairs, written - start, prepared - written, seconds, steps, peak)


def _train(options: TrainOptions, steps: int, threads: int, called: float) -> tuple[float, float]:
    """Seconds until the first batch, and the peak of memory in GiB after some updates."""
    torch.set_num_threads(threads)
    data = load_data(options)
    prepared = prepare(data, options.text, options.cache_dir)
    model = build_model(options, prepared.source.vocabulary, prepared.target.vocabulary)
    examples = training_examples(prepared, options)
    batches = examples.batches(0, batch_size=options.training.batch_size)
    batches[0]
    # perf_counter counts from the start of the machine, the same in every process.
    seconds = time.perf_counter() - called
    Trainer(
        model, options.training.make_optimizer(model), lambda epoch: batches, max_steps=steps
    ).fit()
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
