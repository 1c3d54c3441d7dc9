"""Options: what is asked for is what is built, and what does not go together is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from captioning.building import build_model as build_captioner
from captioning.options import EncoderOptions as ImageEncoderOptions
from captioning.options import TrainOptions as CaptionerOptions
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError
from common.text.vocabulary import Vocabulary
from common.training.options import TrainingOptions, check_options
from common.training.schedules import Constant, Cosine, InverseSquareRoot, Plateau
from seq2seq.building import build_model as build_translator
from seq2seq.options import EncoderOptions
from seq2seq.options import TrainOptions as TranslatorOptions


def cpu(**options) -> TrainingOptions:
    return TrainingOptions(**({"device": "cpu", "precision": "fp32"} | options))


@pytest.mark.parametrize("kind", ["linear", "exponential", "inverse_sigmoid"])
def test_a_falling_teacher_forcing_ratio_is_one_half_after_the_steps_asked_for(kind):
    options = cpu(teacher_forcing=kind, teacher_forcing_ratio=0.1, teacher_forcing_steps=3000)
    sampling = options.make_scheduled_sampling()
    assert sampling is not None
    assert sampling.schedule.ratio(3000) == pytest.approx(0.5, abs=1e-3)
    assert sampling.schedule.ratio(0) > 0.99 and sampling.schedule.ratio(10**9) == 0.1


def test_teacher_forcing_always_or_at_a_constant_ratio():
    assert cpu().make_scheduled_sampling() is None
    constant = cpu(teacher_forcing_ratio=0.3)
    sampling = constant.make_scheduled_sampling()
    assert sampling is not None and sampling.schedule.ratio(10**6) == 0.3
    with pytest.raises(UserError, match="probability"):
        cpu(teacher_forcing_ratio=1.5).make_scheduled_sampling()


def test_decoder_options_that_do_not_go_together_are_one_line():
    with pytest.raises(UserError, match="do not go together"):
        DecoderOptions(inject=(), attention="none").build(10, 4, None)
    decoder = DecoderOptions(cell="gru_cho", embedding_size=8, hidden_size=8).build(10, 4, None)
    assert not any("kernel" in name for name in decoder.state_dict())  # its own cell, our scan


def test_recurrent_weights_begin_as_asked_for():
    options = DecoderOptions(initialization="orthogonal", cell="lstm", hidden_size=8)
    weights = dict(options.build(10, 8, 8).recurrent.named_parameters())
    gate = weights["kernel.weight_hh_l0"][:8]
    torch.testing.assert_close(gate @ gate.T, torch.eye(8))
    assert weights["kernel.bias_ih_l0"][8:16].tolist() == [1.0] * 8  # an open forget gate
    with pytest.raises(UserError, match="do not go together: identity"):
        DecoderOptions(initialization="identity", cell="lstm").build(10, 8, 8)


WORDS = Vocabulary(["one", "two", "three"])


def captioner(**training):
    decoder = DecoderOptions(
        embedding_size=8, hidden_size=8, tie_embeddings=True, attention="additive"
    )
    options = CaptionerOptions(
        data="d", run_dir=Path("r"), encoder=ImageEncoderOptions(encoder="small"),
        decoder=decoder, training=cpu(**training),
    )  # fmt: skip
    return build_captioner(options, WORDS, weights="none")


def translator(**training):
    decoder = DecoderOptions(
        embedding_size=8, hidden_size=8, tie_embeddings=True, attention="additive"
    )
    encoder = EncoderOptions(encoder_size=8, source_embedding_size=8, share_embeddings=True)
    options = TranslatorOptions(
        data="d", run_dir=Path("r"), encoder=encoder, decoder=decoder,
        training=cpu(**training),
    )  # fmt: skip
    return build_translator(options, WORDS, WORDS)


@pytest.mark.parametrize("build", [captioner, translator])
def test_what_is_asked_of_the_training_reaches_the_model(build):
    model = build(
        label_smoothing=0.2, coverage=0.5, teacher_forcing="linear", teacher_forcing_ratio=0.25,
        teacher_forcing_steps=100, teacher_forcing_per="sentence",
    )  # fmt: skip
    assert (model.label_smoothing, model.coverage) == (0.2, 0.5)
    sampling = model.scheduled_sampling
    assert sampling.per == "sentence"
    assert [sampling.schedule.ratio(step) for step in (0, 100, 10**6)] == [1.0, 0.5, 0.25]
    assert model.decoder.output.weight is model.decoder.embedding.weight
    assert build().scheduled_sampling is None


def test_one_matrix_for_both_languages():
    model = translator()
    assert model.encoder.embedding.weight is model.decoder.embedding.weight
    assert len({id(parameter) for parameter in model.parameters()}) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("constant", Constant),
        ("plateau", Plateau),
        ("cosine", Cosine),
        ("inverse_sqrt", InverseSquareRoot),
    ],
)
def test_what_is_asked_of_the_training_reaches_the_trainer(name, kind):
    options = cpu(
        schedule=name, warmup_steps=7, average_decay=0.9, average_best=3, clip_norm=2.0,
        accumulate=2, precision="bf16", epochs=4,
    )  # fmt: skip
    model = translator()
    trainer = options.make_trainer(
        model, options.make_optimizer(model), lambda epoch: [None] * 10,
        validate=lambda: {"bleu": 0.0}, monitor="bleu",
    )  # fmt: skip
    assert isinstance(trainer.schedule, kind) and trainer.schedule.warmup_steps == 7
    assert trainer.average is not None and trainer.average.decay == 0.9
    assert trainer.selection.few is not None and trainer.selection.few.count == 3
    assert (trainer.clip_norm, trainer.accumulate, trainer.precision) == (2.0, 2, "bf16")
    plain = cpu(patience=0)
    trainer = plain.make_trainer(model, plain.make_optimizer(model), lambda epoch: [None] * 10)
    assert trainer.average is None and trainer.selection.few is None


@pytest.mark.parametrize(
    ("decoder", "search", "training", "message"),
    [
        ({}, {}, {"coverage": 1.0}, "--coverage regularises attention"),
        ({}, {}, {"average_best": 1}, "--average-best 1 is no average"),
        ({}, {}, {"teacher_forcing": "linear"}, "choose one below 1"),
        (
            {},
            {"min_length": 50},
            {},
            "--min-length must lie between 0 and --max-length .40., not at 50",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(decoder, search, training, message):
    with pytest.raises(UserError, match=message):
        check_options(DecoderOptions(**decoder), SearchOptions(**search), cpu(**training))


def test_training_is_for_a_single_process(monkeypatch):
    """Several, as torchrun starts them, would be independent trainings in one run folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="single process.*torchrun"):
        cpu().begin()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert cpu().begin().type == "cpu"
