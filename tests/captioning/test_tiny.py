"""Ten pictures: memorised by a preset; and splits of so few."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioning.captioner import Captioner
from captioning.data import load
from captioning.options import TrainOptions
from captioning.train import load_data, train
from common.cli.command_line import parse_options
from common.errors import UserError

CAPTIONS = [
    "A brown dog runs.", "두 아이가 놀고 있다.", "A man climbs a rock.", "Two women talk.", "고양이가 앉아 있다.",
    "A boy kicks a ball.", "人々がバスを待つ。", "A girl smiles.", "Птица летит.", "A toy car!",
]  # fmt: skip


def write_pictures(folder: Path, count: int) -> Path:
    """Pictures with soft colours that differ all over, as photographs do."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.jpg")
    with (folder / "captions.csv").open("w", encoding="utf-8") as file:
        rows = ((f"{number}.jpg", CAPTIONS[number % 10]) for number in range(count))
        csv.writer(file).writerows([("image", "caption"), *rows])
    return folder


def test_the_preset_memorises_ten_pictures_exactly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any other option; here with fewer epochs, and smaller pictures."""
    data = write_pictures(tmp_path / "data", 10)
    arguments = ["--preset", "tiny", "--data", str(data), "--run-dir", str(tmp_path / "run")]
    options = parse_options(TrainOptions, arguments, prog="train", kind="captioner")
    training = replace(options.training, epochs=60, precision="fp32", device="cpu")
    encoder = replace(options.encoder, image_size=32)
    options = replace(options, training=training, encoder=encoder, shown_images=0)
    train(replace(options, cache_dir=tmp_path / "cache"))
    assert "--preset tiny" not in capsys.readouterr().err
    captioner = Captioner.from_run(tmp_path / "run")
    assert captioner.caption([data / f"{number}.jpg" for number in range(10)]) == CAPTIONS
