"""The weights that are kept are the best, also of so few pictures that CIDEr-D is 0."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from captioning.train import train
from tests.captioning.test_captioner import tiny_options

COLOURS = ["red", "green", "blue"]


@pytest.mark.parametrize("validated", [1, 3])
def test_a_few_pictures_are_learnt_and_not_given_up(tmp_path, capsys, validated):
    data = tmp_path / "data"
    data.mkdir()
    for split, count in (("train", 3), ("val", validated)):
        lines = []
        for colour in COLOURS[:count]:
            Image.new("RGB", (32, 32), colour).save(data / f"{split}-{colour}.png")
            captions = [f"a {colour} square", f"there is {colour}"]
            lines.append(json.dumps({"image": f"{split}-{colour}.png", "captions": captions}))
        (data / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    options = tiny_options(data, tmp_path / "run", shown_images=0)
    training = replace(options.training, epochs=12, learning_rate=0.003, patience=3)
    train(replace(options, training=training))
    progress = torch.load(tmp_path / "run" / "training.pt", weights_only=True)["progress"]
    assert progress["step"] == 12 and progress["best_step"] > 6, "and not the first of equal scores"
    alone = "is always 0 for one image" if validated == 1 else "says little for so few"
    assert alone in capsys.readouterr().err
