from __future__ import annotations

from pathlib import Path

from captioning.building import build_model
from captioning.options import EncoderOptions, TrainOptions
from common.decoding.options import DecoderOptions
from common.models.options import LossOptions
from common.text.vocabulary import Vocabulary


def test_what_is_asked_for_is_what_is_built():
    options = TrainOptions(
        data="d", run_dir=Path("r"), encoder=EncoderOptions(encoder="small"),
        decoder=DecoderOptions(
            embedding_size=8, hidden_size=8, tie_embeddings=True, attention="additive"
        ),
        loss=LossOptions(label_smoothing=0.2, coverage=0.5),
    )  # fmt: skip
    model = build_model(options, Vocabulary(["one", "two", "three"]), weights="none")
    assert (model.label_smoothing, model.coverage) == (0.2, 0.5)
    assert model.decoder.output.weight is model.decoder.embedding.weight
