from __future__ import annotations

from pathlib import Path

from common.decoding.options import DecoderOptions
from common.models.options import LossOptions
from common.text.vocabulary import Vocabulary
from seq2seq.building import build_model
from seq2seq.options import EncoderOptions, TrainOptions


def test_what_is_asked_for_is_what_is_built_and_one_matrix_for_both_languages():
    options = TrainOptions(
        data="d", run_dir=Path("r"),
        encoder=EncoderOptions(encoder_size=8, source_embedding_size=8, share_embeddings=True),
        decoder=DecoderOptions(
            embedding_size=8, hidden_size=8, tie_embeddings=True, attention="additive"
        ),
        loss=LossOptions(label_smoothing=0.2, coverage=0.5),
    )  # fmt: skip
    words = Vocabulary(["one", "two", "three"])
    model = build_model(options, words, words)
    assert (model.label_smoothing, model.coverage) == (0.2, 0.5)
    assert model.decoder.output.weight is model.decoder.embedding.weight
    assert model.encoder.embedding.weight is model.decoder.embedding.weight
    assert len({id(parameter) for parameter in model.parameters()}) == len(list(model.parameters()))
