"""The host waits for the device where it must, and nowhere else: counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from common.data.batching import Batches
from common.decoding import (
    BeamSearch,
    Greedy,
    RecurrentDecoder,
    Sampling,
    ScheduledSampling,
    constant_ratio,
)
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.runs.run import Run
from common.runs.weights import load_weights, save_weights
from common.text.vocabulary import BOS, PAD
from common.training.trainer import Trainer
from seq2seq.encoder import SentenceEncoder
from seq2seq.examples import TranslationExamples, source_batch

WORDS = 17
SENTENCES = [
    [4 + (start + i) % 13 for i in range(length)] for start in range(3) for length in (2, 5, 9, 6)
]


def make_model(device: torch.device, layers: int = 2, **options: Any) -> EncoderDecoder:
    """A translator; `options` are the decoder's, but for these."""
    sampling = options.pop("sampling", None)
    coverage = options.pop("coverage", 0.0)
    torch.manual_seed(0)
    encoder = SentenceEncoder(
        WORDS, 8, 8, num_layers=layers, embedding_dropout=0.1, layer_dropout=0.1, output_dropout=0.1
    )
    choices: dict[str, Any] = {
        "inject": ("init",), "attention": "additive", "num_layers": layers, "word_dropout": 0.1,
        "embedding_dropout": 0.1, "layer_dropout": 0.1, "output_dropout": 0.1,
    }  # fmt: skip
    decoder = RecurrentDecoder(WORDS, 8, 16, 16, memory_size=16, **(choices | options))
    model = EncoderDecoder(
        encoder, decoder, label_smoothing=0.1, coverage=coverage, scheduled_sampling=sampling
    )
    return model.to(device)


def make_batches(epoch: int) -> Batches[Batch]:
    return TranslationExamples(SENTENCES, SENTENCES[::-1]).batches(epoch, batch_size=3)


def make_trainer(model: nn.Module, run: Run | None = None, **options: Any) -> Trainer:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    options = {"max_epochs": 2, "clip_norm": 1.0, "precision": "fp32"} | options
    return Trainer(model, optimizer, make_batches, run=run, **options)


MODELS: dict[str, dict[str, Any]] = {
    "context vector": {"attention": None, "inject": ("init", "every", "output")},
    "first input": {"attention": None, "inject": ("first",)},
    "additive": {},
    "dot, after": {"attention": "dot", "attend": "after"},
    "general": {"attention": "general", "gate": True},
    "concat": {"attention": "concat", "query_word": True, "readout": "maxout"},
    "lstm": {"cell": "lstm", "deep_output": True},
    "coverage": {"coverage": 1.0, "tie_embeddings": True, "readout_size": 8},
}
SAMPLED = {
    "per token": {"per": "token"},
    "per sentence": {"per": "sentence"},
    "sampled": {"words": "sampled"},
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("sampling", ["right words", *SAMPLED])
@pytest.mark.parametrize("kind", MODELS)
def test_no_update_waits(device, waits, kind, sampling, precision):
    """From one report to the next: forward, backward, optimiser, averages, and the next batches."""
    options = dict(MODELS[kind])
    if sampling in SAMPLED:
        options["sampling"] = ScheduledSampling(
            constant_ratio(0.5), forbidden=(PAD, BOS), **SAMPLED[sampling]
        )
    trainer = make_trainer(
        make_model(device, **options), average_decay=0.9, accumulate=2, precision=precision
    )
    trainer._begin()
    for number, (group, size) in enumerate(trainer._groups(trainer._enter_epoch())):
        if number == 0:
            trainer._update(group)
            continue
        with waits() as found:
            trainer._update(group)
            trainer.progress.step += 1
            trainer.progress.batch += size
            trainer._read_clock()
        assert not found
    trainer.meter.read()


@pytest.mark.parametrize("log_every", [4, 1000])
def test_a_training_waits_for_its_reports_and_its_end(device, waits, log_every):
    """As often in 5 epochs as in one, but for the reports: each fetches whole numbers and others."""
    counts = []
    for repeated in (1, 5):
        trainer = make_trainer(make_model(device), log_every=log_every)
        batches = list(make_batches(0)) * repeated
        trainer.batches = lambda epoch: batches  # noqa: B023
        trainer.limits = type(trainer.limits)(epochs=1)
        counts.append(waits_of(waits, trainer.fit))
    assert len(make_batches(0)) == 4
    assert counts[1] - counts[0] == (2 * 4 if log_every == 4 else 0)


def waits_of(waits, work) -> int:
    with waits() as found:
        work()
    return len(found)


@pytest.mark.parametrize("fused", [True, False])
def test_a_state_is_saved_and_loaded_with_a_fixed_number_of_waits(device, waits, tmp_path, fused):
    counts = []
    for layers in (1, 4):
        run = Run.create(tmp_path / f"run{layers}", "toy", {})
        model = make_model(device, layers)
        optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
        options = {"max_epochs": 1, "average_decay": 0.9, "run": run, "precision": "fp32"}
        trainer = Trainer(model, optimizer, make_batches, **options)
        trainer.fit()
        saving = waits_of(waits, trainer._save)
        again = Trainer(
            make_model(device, layers), torch.optim.AdamW(model.parameters(), fused=fused),
            make_batches, **options,
        )  # fmt: skip
        loading = waits_of(waits, again.checkpoint.restore)
        path = tmp_path / "weights.safetensors"
        weights = waits_of(waits, lambda: save_weights(path, model.state_dict()))  # noqa: B023
        back = waits_of(waits, lambda: load_weights(path, model))  # noqa: B023
        best = waits_of(waits, trainer.selection.keep)
        trainer.selection.run = None
        kept = waits_of(waits, trainer.selection.keep)
        counts.append((saving, loading, weights, back, best, kept))
        assert len(list(model.parameters())) > 10 * layers
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 6, counts


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("kind", ["context vector", "additive", "dot, after"])
@pytest.mark.parametrize("members", [1, 2])
def test_a_search_waits_once_for_every_four_steps(device, waits, kind, cell, members):
    models = [make_model(device, **MODELS[kind] | {"cell": cell}).eval() for _ in range(members)]
    model = models[0] if members == 1 else EnsembleModel(models)
    tokens, lengths = source_batch(SENTENCES)
    inputs = tokens.to(device), lengths
    steps, at_start_and_end = 40, 8
    # No sentence ends before the last step.
    bounds = {"max_length": steps, "min_length": steps}
    for search in (
        BeamSearch(beam_size=5, **bounds),
        BeamSearch(beam_size=3, no_repeat_ngram=2, **bounds),
        Greedy(**bounds),
        Sampling(num_samples=3, **bounds),
        Sampling(top_k=5, top_p=0.9, temperature=0.7, **bounds),
    ):
        with waits() as found:
            model.generate(*inputs, search=search)
        assert len(found) <= steps // 4 + at_start_and_end, found
