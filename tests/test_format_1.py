"""Runs of format 1 are read: their options by today's names, their weights by the names they had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from captioning import Captioner
from captioning.options import TrainOptions as CaptionerOptions
from common.errors import UserError
from common.runs.run import Run
from common.runs.weights import save_weights
from common.text import Language, Vocabulary, WordTokenizer
from common.training import session
from seq2seq import Translator
from seq2seq.options import TrainOptions as TranslatorOptions

# As that version wrote them: the configuration, and the name and shape of every tensor.
WRITTEN = json.loads((Path(__file__).parent / "format_1.json").read_text())


def write_run(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    """A run folder of format 1 with random weights, which are returned."""
    torch.manual_seed(0)
    stored = WRITTEN[kind]
    weights = {
        name: torch.rand(shape) * 0.1 if shape else torch.zeros((), dtype=torch.long)
        for name, shape in stored["weights"].items()
    }
    folder.mkdir()
    config = {"format": 1, "kind": kind, "created": "2026-11-20T00:00:00+00:00", "versions": {}}
    (folder / "config.json").write_text(json.dumps(config | {"config": stored["config"]}))
    language = Language(WordTokenizer(punctuation=True), Vocabulary(["one", "two", "three"]))
    for side in ("source_", "target_") if kind == "translator" else ("",):
        language.save(folder, side)
    save_weights(folder / "model.safetensors", weights)
    return weights


@pytest.mark.parametrize(
    ("kind", "writer", "options"),
    [
        ("captioner", Captioner, CaptionerOptions),
        ("translator", Translator, TranslatorOptions),
    ],
)
def test_a_run_of_format_1_is_used_and_not_resumed(tmp_path, kind, writer, options):
    weights = write_run(tmp_path / "run", kind)
    found = writer.from_run(tmp_path / "run", device="cpu")
    state = found.model.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in weights)
    if kind == "captioner":
        assert isinstance(found.caption([Image.new("RGB", (64, 64))])[0], str)
    else:
        assert isinstance(found.translate(["one two"])[0], str)

    read = Run.open(tmp_path / "run", kind).read_config(options)
    assert read.loss.label_smoothing == 0.2 and read.loss.teacher_forcing_ratio == 0.5
    before = (tmp_path / "run" / "config.json").read_bytes()
    (tmp_path / "run" / "training.pt").write_bytes(b"of that version")
    again = options(data="data", run_dir=tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="begun by an earlier version.*but not resumed"):
        session.train(again, lambda *arguments: pytest.fail("too late"), kind)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
