"""Options come back from JSON as they went."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from captioning.options import TrainOptions as CaptionerOptions
from common.config.plain import from_dict
from common.errors import UserError
from seq2seq.options import EncoderOptions, TrainOptions as TranslatorOptions


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
