"""Options come back from JSON as they went."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from captioning.options import TrainOptions as CaptionerOptions
from common.config.plain import from_dict, with_absolute_paths
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


def test_a_home_folder_is_understood_in_every_path_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "d").mkdir()
    named = {
        "data": "~/d", "run_dir": "~/r", "images": "~/i", "word_embeddings": "~/v", "monitor": "bleu1",
        "encoder": {"features": "~/f", "weights": "~/w.pth", "encoder": "~small"},
    }  # fmt: skip
    found = from_dict(CaptionerOptions, named, "")
    assert (found.data, found.run_dir, found.images) == (
        f"{tmp_path}/d", tmp_path / "r", tmp_path / "i"
    )  # fmt: skip
    assert (found.encoder.weights, found.encoder.encoder) == (f"{tmp_path}/w.pth", "~small")
    assert found.word_embeddings == tmp_path / "v" and found.encoder.features == tmp_path / "f"
    in_code = with_absolute_paths(CaptionerOptions(data="~/d", run_dir=Path("~/r")))
    assert (in_code.data, in_code.run_dir) == (f"{tmp_path}/d", tmp_path / "r")
