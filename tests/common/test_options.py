"""Options: they come back from JSON as they went, and say what they build."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from captioning.options import TrainOptions as CaptionerOptions
from common.errors import UserError
from common.options import DecoderOptions, TrainingOptions, from_dict
from seq2seq.options import EncoderOptions
from seq2seq.options import TrainOptions as TranslatorOptions


@pytest.mark.parametrize(
    "options",
    [
        CaptionerOptions(data="d", run_dir=Path("r"), images=Path("i")),
        TranslatorOptions(
            data="d", run_dir=Path("r"), encoder=EncoderOptions(source_embeddings=Path("glove"))
        ),
    ],
    ids=["captioner", "translator"],
)
def test_options_come_back_from_json(options):
    kept = json.loads(json.dumps(asdict(options), default=str))
    assert from_dict(type(options), kept, "config.json") == options


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": {"warp": 1}}, "config.json: unknown DecoderOptions"),
        ({"warp": 1}, "unknown TrainOptions"),
        ({"decoder": 3}, "unknown DecoderOptions"),
    ],
)
def test_options_of_another_version_are_named(change, message):
    with pytest.raises(UserError, match=message):
        from_dict(CaptionerOptions, {"data": "d", "run_dir": "r"} | change, "config.json")
    with pytest.raises(UserError, match="incomplete"):
        from_dict(CaptionerOptions, {"data": "d"}, "config.json")


@pytest.mark.parametrize("kind", ["linear", "exponential", "inverse_sigmoid"])
def test_a_falling_teacher_forcing_ratio_is_one_half_after_the_steps_asked_for(kind):
    options = TrainingOptions(
        teacher_forcing=kind, teacher_forcing_ratio=0.1, teacher_forcing_steps=3000
    )
    sampling = options.make_scheduled_sampling()
    assert sampling is not None
    assert sampling.schedule.ratio(3000) == pytest.approx(0.5, abs=1e-3)
    assert sampling.schedule.ratio(0) > 0.99 and sampling.schedule.ratio(10**9) == 0.1


def test_teacher_forcing_always_or_at_a_constant_ratio():
    assert TrainingOptions().make_scheduled_sampling() is None
    constant = TrainingOptions(teacher_forcing="constant", teacher_forcing_ratio=0.3)
    sampling = constant.make_scheduled_sampling()
    assert sampling is not None and sampling.schedule.ratio(10**6) == 0.3
    with pytest.raises(UserError, match="probability"):
        TrainingOptions(
            teacher_forcing="constant", teacher_forcing_ratio=1.5
        ).make_scheduled_sampling()


def test_decoder_options_that_do_not_go_together_are_one_line():
    with pytest.raises(UserError, match="do not go together"):
        DecoderOptions(inject=(), attention="none").build(10, 4, None)
    decoder = DecoderOptions(cell="gru_cho", embedding_size=8, hidden_size=8).build(10, 4, None)
    assert not any("kernel" in name for name in decoder.state_dict())  # its own cell, our scan


def test_training_is_for_a_single_process(monkeypatch):
    """Several, as torchrun starts them, would be independent trainings in one run folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="single process.*torchrun"):
        TrainingOptions(device="cpu").begin()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert TrainingOptions(device="cpu").begin().type == "cpu"
