"""The weights that are kept are the best, also where BLEU is 0 whatever is written."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from seq2seq.train import train
from tests.seq2seq.tiny import tiny_options

PAIRS = ["go\t가", "run\t뛰어", "stop\t멈춰", "wait\t기다려", "hi\t안녕", "no\t아니", "yes\t네"]


@pytest.mark.parametrize("monitor", ["bleu", "loss"])
def test_pairs_of_a_word_are_learnt_and_not_given_up(tmp_path, capsys, monitor):
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "val"):
        (data / f"{split}.tsv").write_text("".join(f"{pair}\n" for pair in PAIRS))
    options = tiny_options(data, tmp_path / "run", source=None, target=None, monitor=monitor)
    training = replace(options.training, epochs=25, learning_rate=0.01, batch_size=64, patience=3)
    evaluation = train(replace(options, training=training))
    assert evaluation.metrics["bleu"] == 0.0 and evaluation.metrics["exact_match"] == 1.0
    progress = torch.load(tmp_path / "run" / "training.pt", weights_only=True)["progress"]
    assert progress["step"] == 25 and progress["best_step"] > 15
    said = capsys.readouterr().err
    assert ("no validation reference has 4 words" in said) == (monitor == "bleu")
    assert ("bleu was 0 in each of the last 4 validations" in said) == (monitor == "bleu")
