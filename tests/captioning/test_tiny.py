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
    "A brown dog runs.", "두 아이가 놀고 있다.", "A man climbs a rock.", "Two women talk.",
    "고양이가 앉아 있다.", "A boy kicks a ball.", "人々がバスを待つ。", "A girl smiles.",
    "Птица летит.", "A toy car!",
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
    training = replace(options.training, epochs=300, precision="fp32", device="cpu")
    encoder = replace(options.encoder, image_size=32)
    options = replace(options, training=training, encoder=encoder, shown_images=0)
    train(replace(options, cache_dir=tmp_path / "cache"))
    assert "--preset tiny" not in capsys.readouterr().err
    captioner = Captioner.from_run(tmp_path / "run")
    assert captioner.caption([data / f"{number}.jpg" for number in range(10)]) == CAPTIONS


def options_for(folder: Path, fraction: float | None = None) -> TrainOptions:
    return TrainOptions(data=str(folder), run_dir=folder / "run", val_fraction=fraction)


@pytest.mark.parametrize("count", [1, 2, 10, 40])
def test_few_pictures_without_splits(tmp_path: Path, count: int) -> None:
    folder = write_pictures(tmp_path / "data", count)
    data = load_data(options_for(folder, 0.1))
    if count == 1:
        with pytest.raises(
            UserError, match="A single image .* --val-fraction 0 validate on the tr"
        ):
            data.split("train"), data.split("val")
    else:
        assert data.split("train") and data.split("val")
    data = load_data(options_for(folder, 0.0))
    assert data.split("train") == data.split("val") and len(data.split("val")) == count
    assert "test" not in data.splits
    (note,) = options_for(folder, 0.1).tiny_notes(
        TrainOptions(data="", run_dir=folder).training, count, "images"
    )
    assert (
        note.startswith(f"{count} training images: 30 epochs give 30 updates")
        and "--preset tiny" in note
    )


def test_coco_with_val_alone_and_with_train_and_test(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "data", 10)
    (folder / "captions.csv").unlink()

    def write(split: str, numbers: range) -> None:
        images = [{"id": number, "file_name": f"{number}.jpg"} for number in numbers]
        captions = [{"id": n, "image_id": n, "caption": CAPTIONS[n]} for n in numbers]
        content = {"images": images, "annotations": captions}
        (folder / f"captions_{split}2017.json").write_text(json.dumps(content))

    write("val", range(10))
    assert {name: len(images) for name, images in load(folder).splits.items()} == {"val": 10}
    data = load_data(options_for(folder, 0.3))
    assert len(data.split("train")) + len(data.split("val")) == 10 and "test" not in data.splits
    assert (
        "no split train: val becomes train, but for 30 % that stays val (--val-fraction)"
        in data.notes
    )
    data = load_data(options_for(folder, 0.0))
    assert data.split("train") == data.split("val") and len(data.split("val")) == 10
    (folder / "captions_val2017.json").unlink()
    write("train", range(7))
    write("test", range(7, 10))
    data = load_data(options_for(folder, 0.3))
    assert len(data.split("train")) + len(data.split("val")) == 7 and len(data.split("test")) == 3
    assert "no split val: 30 % of train becomes val (--val-fraction)" in data.notes


def test_a_table_in_another_encoding(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "data", 2)
    table = (
        "image,caption\n0.jpg,두 아이가 바닷가에서 놀고 있다.\n1.jpg,고양이가 창가에 앉아 있다.\n"
    )
    for encoding in ("cp949", "utf-16"):
        (folder / "captions.csv").write_bytes(table.encode(encoding))
        data = load(folder, encoding="cp949" if encoding == "cp949" else None)
        captions = {
            caption
            for images in data.splits.values()
            for each in images
            for caption in each.captions
        }
        assert captions == {"두 아이가 바닷가에서 놀고 있다.", "고양이가 창가에 앉아 있다."}
    (folder / "captions.csv").write_bytes(table.encode("cp949"))
    for limit in (0.01, 1.0):
        with pytest.raises(UserError, match=r"captions.csv:2: not UTF-8 .* add --encoding cp949"):
            load(folder, max_problems=limit)
