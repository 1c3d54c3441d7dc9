"""Splits without reference captions: described, and neither learnt from nor scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from captioning.data import load
from common.errors import UserError

TRAIN, VAL, TEST = [f"{n}.jpg" for n in range(4)], ["v0.jpg", "v1.jpg"], ["t0.jpg", "t1.jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in (*TRAIN, *VAL, *TEST):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    return tmp_path


def coco(folder: Path) -> None:
    (folder / "annotations").mkdir()
    for split, names in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
        content: dict = {"images": images}
        if split != "test":
            content["annotations"] = [
                {"image_id": n, "id": n, "caption": "a dog"} for n in range(len(names))
            ]
        kind = "image_info" if split == "test" else "captions"
        (folder / "annotations" / f"{kind}_{split}2017.json").write_text(json.dumps(content))


def karpathy(folder: Path, *, empty: bool = True) -> None:
    images = []
    for split, names in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        for name in names:
            image = {"filename": name, "split": split, "sentences": [{"raw": "a dog"}]}
            if split == "test":
                image |= {"sentences": []}
                if not empty:
                    del image["sentences"]
            images.append(image)
    (folder / "dataset_flickr8k.json").write_text(json.dumps({"images": images}))


def karpathy_without_a_list(folder: Path) -> None:
    karpathy(folder, empty=False)


def flickr(folder: Path) -> None:
    lines = [f"{name}#0\ta dog\n" for name in (*TRAIN, *VAL)]
    (folder / "Flickr8k.token.txt").write_text("".join(lines))
    for split, names in (("train", TRAIN), ("dev", VAL), ("test", TEST)):
        (folder / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names))


def json_lines(folder: Path) -> None:
    """No list, an empty one, nothing, and a blank text."""
    blank: list[dict] = [{}, {"captions": []}, {"captions": None}, {"caption": " "}]
    for split, names in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        lines = [{"image": name, "captions": ["a dog"]} for name in names]
        if split == "test":
            lines = [{"image": name} | blank[n] for n, name in enumerate(TEST + TEST)]
        text = "".join(json.dumps(each) + "\n" for each in lines)
        (folder / f"{split}.jsonl").write_text(text)


def json_lines_with_splits(folder: Path) -> None:
    lines: list[dict] = [{"image": name, "split": "test"} for name in TEST]
    lines += [{"image": name, "split": "val", "caption": "a dog"} for name in VAL]
    lines += [{"image": name, "split": "train", "caption": "a dog"} for name in TRAIN]
    (folder / "captions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))


def table(folder: Path) -> None:
    rows = [f"{name},a dog,train" for name in TRAIN] + [f"{name},a dog,val" for name in VAL]
    rows += [f"{name},,test" for name in TEST]
    (folder / "captions.csv").write_text("\n".join(["image,caption,split", *rows]))


FORMATS = [
    coco,
    karpathy,
    karpathy_without_a_list,
    flickr,
    json_lines,
    json_lines_with_splits,
    table,
]


@pytest.mark.parametrize("write", FORMATS, ids=lambda each: each.__name__)
def test_a_split_without_captions_is_there_without_any(write, folder):
    write(folder)
    data = load(folder)
    assert {name: len(images) for name, images in data.splits.items()} == {
        "train": 4, "val": 2, "test": 2,
    }  # fmt: skip
    assert not data.problems
    assert "test: no image has a reference caption" in data.notes
    assert [image.captions for image in data.split("test")] == [[], []]
    assert data.captioned("val")
    with pytest.raises(
        UserError, match=r"\Athe 2 images of test in .* no reference captions[^\n]*\Z"
    ):
        data.captioned("test")


def test_blind_data_alone_are_a_test(folder):
    """Of any format that names no split."""
    images = [{"filename": name, "split": "test", "sentences": []} for name in TEST]
    (folder / "dataset.json").write_text(json.dumps({"images": images}))
    assert list(load(folder).splits) == ["test"]
    (folder / "dataset.json").unlink()
    lines = [{"image": name, "captions": []} for name in TEST]
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert list(load(folder).splits) == ["test"]


@pytest.mark.parametrize("write", [coco, json_lines], ids=lambda each: each.__name__)
def test_a_blind_split_without_pictures_is_left_out(write, folder):
    """Who trains on COCO has not fetched the pictures of its test."""
    write(folder)
    for name in TEST:
        (folder / "images" / name).unlink()
    data = load(folder)
    assert list(data.splits) == ["train", "val"] and not data.problems
    assert data.notes[0] == "test: left out, because none of its 2 pictures is there"
    write_only = {"filename": "gone.jpg", "split": "test", "sentences": []}
    other = folder / "other"
    other.mkdir()
    (other / "dataset.json").write_text(json.dumps({"images": [write_only]}))
    with pytest.raises(UserError, match="none of the 1 images that dataset.json names is in"):
        load(other)


def test_an_image_without_captions_among_others_is_damage(folder):
    """Also where the rest of another split has none, and a field with a wrong name is none at all."""
    json_lines_with_splits(folder)
    with (folder / "captions.jsonl").open("a") as file:
        file.write(json.dumps({"image": "v2.jpg", "split": "val"}) + "\n")
        file.write(json.dumps({"image": "v3.jpg", "split": "val", "caption": ""}) + "\n")
    problems = load(folder, max_problems=1).problems
    assert problems[:2] == [
        'captions.jsonl:9: no "captions"', "captions.jsonl:10: caption 0 of v3.jpg is empty",
    ]  # fmt: skip
    lines = [{"image": name, "words": "a dog"} for name in TRAIN]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match="no captions among image, words; known are"):
        load(folder)
