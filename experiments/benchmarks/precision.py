"""What `--precision auto` costs against the faster of float32 and bfloat16.

It measures products of the model's own sizes once in a process, which is reported apart, and then
computes in what it chose. Of two models: the small translator, and a captioner like the demo's; each
while it learns and while it writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from captioning.building import build_model
from captioning.options import EncoderOptions, TrainOptions
from common.compute.precision import Chosen, choose_precision
from common.decoding import BeamSearch
from common.decoding.options import DecoderOptions
from common.models.encoder_decoder import Batch, EncoderDecoder
from experiments.benchmarks.harness import CPU, Comparison, compare
from experiments.benchmarks.translator import (
    PRECISIONS,
    SOURCE_WORDS,
    epoch_of,
    random_sentences,
    small_translator,
    training_batches,
    vocabulary,
)
from seq2seq.examples import source_batch

BAR = "auto at most 1.15 times as long as the faster of the two"
CAPTION_WORDS = 60


def captioner() -> EncoderDecoder:
    """A small CNN that is learnt, and an LSTM with attention after the step."""
    torch.manual_seed(0)
    options = TrainOptions(
        data="", run_dir=Path(),
        encoder=EncoderOptions(
            encoder="small", weights="none", image_size=64, memory_size=0, vector_size=0,
            feature_dropout=0.0,
        ),
        decoder=DecoderOptions(
            cell="lstm", inject=("init",), attention="general", attend="after", embedding_size=64,
            hidden_size=192, embedding_dropout=0.0, output_dropout=0.1,
        ),
    )  # fmt: skip
    return build_model(options, vocabulary(CAPTION_WORDS), weights="none")


def pictures(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8)


def translator_training(
    batches: int = 6, batch_size: int = 80, rounds: int = 5, device: torch.device = CPU
) -> Comparison:
    """Updates of the small translator."""
    model = small_translator().to(device)
    epoch = epoch_of(model, training_batches(batches, batch_size, device), device)
    return _compare("small translator, training", model, epoch, rounds, device)


def translator_search(
    sentences: int = 64, beam_size: int = 5, rounds: int = 3, device: torch.device = CPU
) -> Comparison:
    """Beam search of the small translator."""
    model = small_translator().to(device).eval()
    sources = random_sentences(sentences, SOURCE_WORDS)
    tokens, lengths = source_batch(sources)
    inputs, longest = (tokens.to(device), lengths), [len(source) for source in sources]

    def write(precision: Chosen) -> None:
        search = BeamSearch(beam_size=beam_size)
        model.generate(*inputs, search=search, precision=precision, max_length=longest)

    return _compare(f"small translator, beam {beam_size}", model, write, rounds, device)


def captioner_training(
    batches: int = 6, batch_size: int = 160, rounds: int = 5, device: torch.device = CPU
) -> Comparison:
    """Updates of the captioner; four sentences share a picture."""
    model = captioner().to(device)
    rows = torch.arange(batch_size) // 4
    made = [
        Batch.collate(
            (pictures(int(rows[-1]) + 1),), random_sentences(batch_size, CAPTION_WORDS), rows
        )
        for _ in range(batches)
    ]
    epoch = epoch_of(model, [batch.to(device) for batch in made], device)
    return _compare("captioner, training", model, epoch, rounds, device)


def captioner_search(
    sentences: int = 64, beam_size: int = 5, rounds: int = 3, device: torch.device = CPU
) -> Comparison:
    """Beam search of the captioner, from pixels."""
    model = captioner().to(device).eval()
    inputs = pictures(sentences).to(device)

    def write(precision: Chosen) -> None:
        search = BeamSearch(beam_size=beam_size, max_length=12)
        model.generate(inputs, search=search, precision=precision)

    return _compare(f"captioner, beam {beam_size}", model, write, rounds, device)


def _compare(
    title: str,
    model: EncoderDecoder,
    work: Callable[[Chosen], None],
    rounds: int,
    device: torch.device,
) -> Comparison:
    """Time the work in each precision, and in the one that auto takes."""
    start = time.perf_counter()
    took = choose_precision("auto", model, device)
    once = time.perf_counter() - start

    def automatic() -> None:
        work(choose_precision("auto", model, device))

    variants: dict[str, Callable[[], object]] = {
        precision: partial(work, precision) for precision in PRECISIONS
    }
    found = compare(title, variants | {"auto": automatic}, rounds=rounds, bar=BAR, device=device)
    return replace(
        found,
        note=f"auto took {took}: {cost_of_auto(found):.2f} of the faster one's time, "
        f"and {1000 * once:.0f} ms once for its choice",
    )


def cost_of_auto(comparison: Comparison) -> float:
    """How many times as long as the faster precision auto took."""
    fastest = {timing.name: timing.fastest for timing in comparison.timings}
    return fastest["auto"] / min(fastest[precision] for precision in PRECISIONS)
