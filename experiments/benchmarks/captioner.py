"""A captioner like the demo's: how fast it is trained and how fast it writes, in each precision."""

from __future__ import annotations

from pathlib import Path

import torch

from captioning.model import build_model
from captioning.options import EncoderOptions, TrainOptions
from common.compute.precision import Chosen
from common.decoding import BeamSearch
from common.decoding.options import DecoderOptions
from common.models.encoder_decoder import Batch, EncoderDecoder
from experiments.benchmarks.harness import CPU, Comparison
from experiments.benchmarks.precision import compare_precisions, training_epoch
from experiments.benchmarks.translator import random_sentences, vocabulary

WORDS = 60


def captioner() -> EncoderDecoder:
    """A small CNN that is trained, and an LSTM with attention after the step."""
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
    return build_model(options, vocabulary(WORDS), weights="none")


def pictures(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8)


def training(
    batches: int = 6, batch_size: int = 160, rounds: int = 5, device: torch.device = CPU
) -> Comparison:
    """Updates of the captioner; four sentences share a picture."""
    model, made = captioner().to(device), []
    rows = torch.arange(batch_size) // 4
    for _ in range(batches):
        inputs = (pictures(int(rows[-1]) + 1),)
        batch = Batch.collate(inputs, random_sentences(batch_size, WORDS), rows)
        made.append(batch.to(device))
    return compare_precisions(
        f"captioner, training, batch {batch_size}", model, training_epoch(model, made, device),
        rounds, device, sum(len(batch.positions) for batch in made), "words",
    )  # fmt: skip


def decoding(
    sentences: int = 64, beam_size: int = 5, rounds: int = 3, device: torch.device = CPU
) -> Comparison:
    """Beam search of the captioner, from pixels."""
    model = captioner().to(device).eval()
    inputs = pictures(sentences).to(device)

    def write(precision: Chosen) -> None:
        search = BeamSearch(beam_size=beam_size, max_length=12)
        model.generate(inputs, search=search, precision=precision)

    return compare_precisions(
        f"captioner, beam {beam_size}, {sentences} pictures", model, write, rounds, device,
        sentences, "sentences",
    )  # fmt: skip
