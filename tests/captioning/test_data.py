"""Every format that people have, and every way in which it can be damaged."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from PIL import Image

from captioning.data import CaptionData, load
from captioning.entries import Entry, Read, Reading, caption_text
from common.data.formats import Format
from common.data.reading import numbered_lines
from common.data.splits import seeded_split
from common.errors import UserError


def add_images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2), "red").save(folder / name)


def ids(data: CaptionData) -> dict[str, list[str]]:
    return {split: [image.id for image in images] for split, images in data.splits.items()}


def lenient(folder: Path, **options) -> CaptionData:
    """Load whatever is usable."""
    return load(folder, max_problems=1.0, **options)


# ---- the formats


@pytest.fixture
def flickr(tmp_path: Path) -> Path:
    """Four captioned photographs: two for training, one for validation, one in no list."""
    add_images(tmp_path / "Flicker8k_Dataset", "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    (tmp_path / "Flickr8k.token.txt").write_text(
        "".join(f"{name}.jpg#{n}\tA {name}  {n} .\n" for name in "abcd" for n in range(2))
    )
    (tmp_path / "Flickr8k.lemma.token.txt").write_text("a.jpg#0\tlemma\n")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("b.jpg\na.jpg\n")
    (tmp_path / "Flickr_8k.devImages.txt").write_text("c.jpg\n")
    return tmp_path


def test_flickr_lists_decide_the_splits_and_their_order(flickr: Path) -> None:
    data = load(flickr)
    assert data.format == "flickr"
    assert ids(data) == {"train": ["b.jpg", "a.jpg"], "val": ["c.jpg"]}
    first = data.splits["train"][0]
    assert first.captions == ["A b 0 .", "A b 1 ."]
    assert first.path == flickr / "Flicker8k_Dataset" / "b.jpg"
    assert first.path.is_file()
    assert data.problems == []
    assert data.notes == ["left out, because no split list names them: 1 (d.jpg, ...)"]


def test_flickr_with_windows_line_ends_byte_order_mark_and_images_beside(tmp_path: Path) -> None:
    add_images(tmp_path, "a.jpg")
    (tmp_path / "results_20130124.token").write_bytes(
        b"\xef\xbb\xbfa.jpg#0\tOne\xe2\x80\xa8caption .\r\na.jpg#1\tTwo .\r\n"
    )
    (tmp_path / "flickr30k_train.txt").write_bytes(b"a\r\n")  # Flickr30k: without the extension
    data = load(tmp_path)
    assert data.splits["train"][0].captions == ["One caption .", "Two ."]
    assert data.problems == []


def test_csv_with_quotes_and_a_seeded_split(tmp_path: Path) -> None:
    add_images(tmp_path / "Images", "a.jpg", "b.jpg")
    (tmp_path / "captions.txt").write_text(
        'image,caption\na.jpg,"A dog , a ""cat"""\na.jpg,A 6" ruler\nb.jpg,"Two\nlines"\n'
    )
    data = load(tmp_path, val_fraction=0, test_fraction=0)
    assert data.format == "csv"
    assert [image.captions for image in data.splits["train"]] == [
        ['A dog , a "cat"', 'A 6" ruler'],
        ["Two lines"],
    ]
    assert data.problems == []


def test_csv_of_flickr30k_with_pipes(tmp_path: Path) -> None:
    add_images(tmp_path / "flickr30k_images" / "flickr30k_images", "1.jpg", "2.jpg")
    (tmp_path / "results.csv").write_text(
        "image_name| comment_number| comment\n"
        '1.jpg| 0| A "dog" | runs .\n'
        "1.jpg| 1   A dog runs .\n"  # the one broken line of the published file
        "2.jpg| 0| A cat .\n"
    )
    data = lenient(tmp_path, val_fraction=0, test_fraction=0)
    assert [image.captions for image in data.splits["train"]] == [
        ['A "dog" | runs .'],
        ["A cat ."],
    ]
    assert data.problems == ["results.csv:3: 2 columns instead of 3"]


def test_csv_with_a_column_of_splits(tmp_path: Path) -> None:
    add_images(tmp_path, "a.png", "b.png")
    (tmp_path / "own.csv").write_text("split,image,caption\nvalidation,a.png,x\ntrain,b.png,y\n")
    assert ids(load(tmp_path)) == {"train": ["b.png"], "val": ["a.png"]}


def test_karpathy_with_restval_in_train(tmp_path: Path) -> None:
    names = ["train2014/1.jpg", "val2014/2.jpg", "val2014/3.jpg", "val2014/4.jpg"]
    add_images(tmp_path, *names)
    splits = ["train", "restval", "val", "test"]
    images = [
        {
            "filepath": Path(name).parent.name,
            "filename": Path(name).name,
            "split": split,
            "cocoid": number,
            "sentences": [{"raw": "A dog.\n", "tokens": ["a", "dog"]}],
        }
        for number, (name, split) in enumerate(zip(names, splits, strict=True))
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images}))
    data = load(tmp_path)
    assert data.format == "karpathy"
    assert ids(data) == {"train": names[:2], "val": [names[2]], "test": [names[3]]}
    assert data.splits["val"][0].captions == ["A dog."]
    assert data.splits["val"][0].facts == {"image_id": 2}
    assert data.notes == data.problems == []


def coco(folder: Path, split: str = "train", **changes) -> dict:
    content = {
        "images": [{"id": 7, "file_name": "007.jpg"}, {"id": 8, "file_name": "008.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 8, "caption": "An eight ."},
            {"id": 2, "image_id": 7, "caption": "A seven ."},
            {"id": 3, "image_id": 8, "caption": "Eight\nagain ."},
        ],
        **changes,
    }
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / f"captions_{split}2017.json").write_text(json.dumps(content))
    return content


def test_coco(tmp_path: Path) -> None:
    add_images(tmp_path, "train2017/007.jpg", "train2017/008.jpg", "val2017/009.jpg")
    coco(tmp_path)
    coco(
        tmp_path,
        "val",
        images=[{"id": 9, "file_name": "009.jpg"}],
        annotations=[{"id": 4, "image_id": 9, "caption": "Nine"}],
    )
    data = load(tmp_path)
    assert data.format == "coco"
    assert ids(data) == {
        "train": ["train2017/007.jpg", "train2017/008.jpg"],
        "val": ["val2017/009.jpg"],
    }
    assert data.splits["train"][1].captions == ["An eight .", "Eight again ."]
    assert data.splits["train"][1].facts == {"image_id": 8}
    # A file named alone: its images are found from there.
    alone = load(tmp_path / "annotations" / "captions_train2017.json")
    assert ids(alone) == {"train": ["train2017/007.jpg", "train2017/008.jpg"]}


def write_lines(path: Path, *records: object) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_jsonl_with_splits_in_the_lines(tmp_path: Path) -> None:
    add_images(tmp_path, "images/a.png", "images/b.png")
    write_lines(
        tmp_path / "captions.jsonl",
        {"image": "images/a.png", "captions": ["One", "Un"], "split": "dev"},
        {"image": r"images\b.png", "captions": ["Two"], "split": "gallery"},
    )
    data = load(tmp_path)
    assert data.format == "jsonl"
    assert ids(data) == {"val": ["images/a.png"], "gallery": ["images/b.png"]}


def test_jsonl_with_a_file_per_split(tmp_path: Path) -> None:
    add_images(tmp_path, "a.png", "b.png", "c.png")
    write_lines(tmp_path / "test.jsonl", {"image": "a.png", "captions": ["One"]})
    write_lines(tmp_path / "train.jsonl", {"image": "b.png", "captions": ["Two"]})
    write_lines(tmp_path / "valid.jsonl", {"image": "c.png", "captions": ["Three"]})
    data = load(tmp_path)
    assert list(data.splits) == ["train", "val", "test"]
    assert ids(data) == {"train": ["b.png"], "val": ["c.png"], "test": ["a.png"]}


def test_jsonl_without_splits_is_split_by_the_seed(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(40)]
    add_images(tmp_path, *names)
    write_lines(tmp_path / "any.jsonl", *({"image": n, "captions": ["x"]} for n in names))
    data = load(tmp_path, seed=1, val_fraction=0.25, test_fraction=0.25)
    assert list(data.splits) == ["train", "val", "test"]
    assert sorted(sum(ids(data).values(), [])) == sorted(names)
    for split, images in ids(data).items():
        assert all(seeded_split(image, 1, 0.25, 0.25) == split for image in images)


def test_scenes_keep_their_facts(tmp_path: Path) -> None:
    add_images(tmp_path, "train/000001.png", "val/000001.png", "val_held_out/000001.png")
    write_lines(
        tmp_path / "scenes.jsonl",
        *(
            {
                "image": f"{split}/000001.png",
                "split": split,
                "captions": ["a red star", "there is a red star"],
                "scene": {"shapes": [{"colour": "red", "kind": "star"}]},
            }
            for split in ("val_held_out", "train", "val")
        ),
    )
    data = load(tmp_path)
    assert data.format == "scenes"
    assert list(data.splits) == ["train", "val", "val_held_out"]
    assert data.splits["val"][0].id == "val/000001.png"
    assert data.splits["val"][0].facts == {"shapes": [{"colour": "red", "kind": "star"}]}


# ---- a format of one's own


def read_headlines(files: list[Path]) -> Reading:
    """Lines `name: caption`; the file is named after the split."""
    reading = Reading()
    for number, line in numbered_lines(files[0]):
        where = f"{files[0].name}:{number}"
        with reading.reporting(where):
            name, _, caption = line.partition(": ")
            texts = [caption_text(caption, f"the caption of {name}")]
            reading.entries.append(Entry(f"{name}.png", texts, files[0].stem, where))
    return reading


HEADLINES: Format[Read] = Format(
    "headlines",
    "train.head",
    lambda files: [f for f in files if f.suffix == ".head"],
    read_headlines,
)


def test_a_format_that_is_defined_elsewhere(tmp_path: Path) -> None:
    add_images(tmp_path, "images/dog.png", "images/cat.png")
    (tmp_path / "train.head").write_text("dog: A dog\ncat: \ncow: A cow\n")
    data = lenient(tmp_path, format=HEADLINES)
    assert data.format == "headlines"
    assert ids(data) == {"train": ["dog.png"]}
    assert data.problems == [
        "train.head:2: the caption of cat is empty",
        "train.head:3: there is no image cow.png",
    ]


# ---- which format a folder has


def test_an_unknown_folder_gets_the_list_of_formats(tmp_path: Path) -> None:
    (tmp_path / "notes.doc").write_text("")
    with pytest.raises(UserError) as raised:
        load(tmp_path)
    message = str(raised.value)
    assert "notes.doc" in message and "\n" not in message
    for name in ("flickr", "csv", "karpathy", "coco", "jsonl", "scenes"):
        assert f"{name}: " in message
    assert "Flickr8k.token.txt" in message and "image,caption" in message


def test_images_may_lie_in_another_folder(tmp_path: Path) -> None:
    add_images(tmp_path / "photographs", "a.png")
    (tmp_path / "texts").mkdir()
    write_lines(tmp_path / "texts" / "captions.jsonl", {"image": "a.png", "captions": ["x"]})
    with pytest.raises(UserError, match="none of the 1 images.*texts.*a.png"):
        load(tmp_path / "texts")
    data = load(
        tmp_path / "texts", images=tmp_path / "photographs", val_fraction=0, test_fraction=0
    )
    assert data.splits["train"][0].path == tmp_path / "photographs" / "a.png"
    with pytest.raises(UserError, match="nowhere: there is no such folder of images"):
        load(tmp_path / "texts", images=tmp_path / "nowhere")


def test_images_behind_a_link_are_found_and_a_loop_of_links_ends(tmp_path: Path) -> None:
    add_images(tmp_path / "disk", "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(tmp_path / "disk")
    (tmp_path / "data" / "self").symlink_to(tmp_path / "data")
    write_lines(tmp_path / "data" / "captions.jsonl", {"image": "a.png", "captions": ["x"]})
    data = load(tmp_path / "data", val_fraction=0, test_fraction=0)
    assert data.splits["train"][0].path == tmp_path / "data" / "images" / "a.png"


# ---- damage


def test_flickr_damage_is_named_with_file_and_line_and_skipped(flickr: Path) -> None:
    with open(flickr / "Flickr8k.token.txt", "a") as file:
        file.write("a.jpg#1\tOnce more .\n")  # 9
        file.write("a.jpg#2\t  \n")  # 10
        file.write("no caption number\n")  # 11
        file.write("gone.jpg#0\tNo file .\n")  # 12
    with open(flickr / "Flickr_8k.trainImages.txt", "a") as file:
        file.write("gone.jpg\nunheard_of.jpg\na.jpg\n")
    (flickr / "Flicker8k_Dataset" / "unheard_of.jpg").write_bytes(b"")
    data = lenient(flickr)
    assert data.problems == [
        "Flickr_8k.trainImages.txt:5: a.jpg is there twice (first at Flickr_8k.trainImages.txt:2)",
        "Flickr8k.token.txt:9: caption 1 of a.jpg is there twice",
        "Flickr8k.token.txt:10: caption 2 of a.jpg is empty",
        'Flickr8k.token.txt:11: not "name.jpg#0<TAB>caption": no caption number',
        "Flickr_8k.trainImages.txt:3: there is no image gone.jpg",
        "Flickr_8k.trainImages.txt:4: unheard_of.jpg has no caption",
    ]
    assert ids(data) == {"train": ["b.jpg", "a.jpg"], "val": ["c.jpg"]}
    assert data.splits["train"][1].captions == ["A a 0 .", "A a 1 ."]


@pytest.mark.parametrize(
    ("lists", "kept"),
    [
        (("train", "dev"), "val"),
        (("train", "test"), "test"),
        (("dev", "test"), "test"),
        (("train", "dev", "test"), "test"),
    ],
)
def test_an_image_in_two_splits_never_stays_in_training(
    flickr: Path, lists: tuple[str, ...], kept: str
) -> None:
    for name in ("train", "dev", "test"):
        (flickr / f"Flickr_8k.{name}Images.txt").write_text("d.jpg\n" if name in lists else "")
    data = lenient(flickr)
    assert ids(data) == {kept: ["d.jpg"]}
    assert len(data.problems) == len(lists) - 1
    assert f"kept in {kept} only" in data.problems[-1]


def test_one_file_under_two_names_is_a_leak_too(tmp_path: Path) -> None:
    add_images(tmp_path, "images/a.png")
    write_lines(
        tmp_path / "captions.jsonl",
        {"image": "images/a.png", "captions": ["x"], "split": "train"},
        {"image": "images/../images//a.png", "captions": ["y"], "split": "test"},
        {"image": "a.png", "captions": ["z"], "split": "test"},
    )
    data = lenient(tmp_path)
    assert ids(data) == {"test": ["images/a.png"]}
    assert data.splits["test"][0].captions == ["y", "z"]
    assert len(data.problems) == 1


def test_two_lists_of_one_split_are_refused(flickr: Path) -> None:
    (flickr / "val.txt").write_text("a.jpg\n")
    with pytest.raises(UserError, match="more than one list of the val images.*devImages.*val.txt"):
        load(flickr)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "images/../../a.png", "..\\a.png", "C:\\a.png", ".."],
)
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    add_images(folder, "images/ok.png")
    add_images(tmp_path, "a.png")
    write_lines(
        folder / "captions.jsonl",
        {"image": "ok.png", "captions": ["Fine"], "split": "train"},
        {"image": name, "captions": ["Not fine"], "split": "train"},
    )
    data = lenient(folder)
    assert ids(data) == {"train": ["ok.png"]}
    assert len(data.problems) == 1
    assert data.problems[0].startswith("captions.jsonl:2: ")
    assert "is outside" in data.problems[0]


def test_an_absolute_path_into_the_folder_is_fine(tmp_path: Path) -> None:
    add_images(tmp_path, "images/a.png")
    image = str(tmp_path / "images" / "a.png")
    write_lines(tmp_path / "captions.jsonl", {"image": image, "captions": ["x"], "split": "val"})
    data = load(tmp_path)
    assert data.splits["val"][0].path == tmp_path / "images" / "a.png"


def test_a_name_in_several_folders_is_not_guessed(tmp_path: Path) -> None:
    add_images(tmp_path, "one/a.png", "two/a.png", "thumbnails/b.png", "images/b.png")
    write_lines(
        tmp_path / "captions.jsonl",
        {"image": "a.png", "captions": ["Which?"], "split": "val"},
        {"image": "b.png", "captions": ["Surely that in images/"], "split": "val"},
    )
    data = lenient(tmp_path)
    assert data.problems == [
        "captions.jsonl:1: a.png is ambiguous: it could be one/a.png or two/a.png. "
        "Name it with its folder"
    ]
    assert [image.path for image in data.splits["val"]] == [tmp_path / "images" / "b.png"]


def test_jsonl_damage_is_named_with_file_and_line_and_skipped(tmp_path: Path) -> None:
    add_images(tmp_path, "a.png", "b.png")
    good = '{"image": "a.png", "captions": ["Good", " ", 3, "\\ud800"], "split": "train"}'
    lines = [
        good,
        "{",
        "[]",
        '{"captions": ["x"]}',
        '{"image": "b.png", "captions": "not a list"}',
        '{"image": "b.png", "captions": [], "split": "train"}',
        '{"image": "b.png", "captions": ["x"], "split": 3}',
        "",
        '{"image": "b.png", "captions": ["x"]}',
        '{"image": "b.png", "captions": ["x"], "split": "../up"}',
        "[" * 100_000,
        "1" * 10_000,
        '{"image": "two\\nlines.png", "captions": ["x"], "split": "train"}',
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    data = lenient(tmp_path)
    assert ids(data) == {"train": ["a.png"]}
    assert data.splits["train"][0].captions == ["Good"]
    named = sorted({int(problem.split(":")[1]) for problem in data.problems})
    assert named == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13]
    assert sum(problem.startswith("captions.jsonl:1:") for problem in data.problems) == 3
    assert not any("\n" in problem for problem in data.problems)


def test_csv_damage_is_named_with_file_and_line_and_skipped(tmp_path: Path) -> None:
    add_images(tmp_path, "a.jpg")
    (tmp_path / "captions.csv").write_text(
        "image,caption\na.jpg,Good\na.jpg,has, a comma\na.jpg,\ngone.jpg,x\n"
    )
    with pytest.raises(UserError, match="1 of 2 pictures are damaged.*captions.csv:5: there is no"):
        load(tmp_path)
    data = lenient(tmp_path, val_fraction=0, test_fraction=0)
    assert [image.captions for image in data.split("train")] == [["Good"]]
    assert [problem.split(":")[1] for problem in data.problems] == ["3", "4", "5"]


def test_csv_without_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a.jpg,A dog\n")
    with pytest.raises(UserError, match=r"captions.txt:1: the first line.*image,caption"):
        load(tmp_path)


def test_coco_damage_is_named_and_skipped(tmp_path: Path) -> None:
    add_images(tmp_path, "train2017/007.jpg", "train2017/008.jpg")
    content = coco(tmp_path)
    content["images"] += [{"id": 7, "file_name": "007.jpg"}, {"id": 9, "file_name": "009.jpg"}, 5]
    content["annotations"] += [
        {"id": 3, "image_id": 8, "caption": "The id of another"},
        {"id": 4, "image_id": 99, "caption": "Of no image"},
        {"id": 5, "image_id": 8, "caption": ""},
        "not an object",
    ]
    coco(tmp_path, **content)
    data = lenient(tmp_path)
    name = "captions_train2017.json"
    assert data.problems == [
        f"{name}: images[2]: the image id 7 is there twice",
        f'{name}: images[4]: no "id" and "file_name"',
        f"{name}: annotations[3]: the caption id 3 is there twice",
        f"{name}: annotations[4]: of an image (99) that the file does not list",
        f"{name}: annotations[5]: the caption of 008.jpg is empty",
        f"{name}: annotations[6]: not an object",
        f"{name}: images[3]: there is no image 009.jpg",
    ]
    assert data.splits["train"][1].captions == ["An eight .", "Eight again ."]


def test_coco_of_two_years_is_not_mixed(tmp_path: Path) -> None:
    add_images(tmp_path, "train2017/007.jpg", "train2017/008.jpg", "val2014/COCO_val2014_007.jpg")
    coco(tmp_path)
    other = {"images": [{"id": 7, "file_name": "COCO_val2014_007.jpg"}], "annotations": []}
    (tmp_path / "annotations" / "captions_val2014.json").write_text(json.dumps(other))
    data = load(tmp_path)
    assert list(data.splits) == ["train"]
    assert "annotations of 2014, 2017: only 2017 is read" in data.notes


def test_karpathy_damage_is_named_and_skipped(tmp_path: Path) -> None:
    add_images(tmp_path, "images/1.jpg")
    good = {"filename": "1.jpg", "split": "train", "sentences": [{"raw": "One"}, {"tokens": []}]}
    changes: list[dict] = [{}, {"split": None}, {"sentences": 0}, {"filename": "2"}]
    images = [{**good, **change} for change in changes]
    images.insert(1, {})
    (tmp_path / "dataset.json").write_text(json.dumps({"images": images}))
    data = lenient(tmp_path)
    assert data.problems == [
        'dataset.json: images[1]: no "filename"',
        'dataset.json: images[2]: no "split"',
        'dataset.json: images[3]: no "sentences"',
        "dataset.json: images[0]: caption 1 of 1.jpg is not text",
        "dataset.json: images[4]: caption 1 of 2 is not text",
        "dataset.json: images[4]: there is no image 2",
    ]


@pytest.mark.parametrize("content", ["[]", '{"images": {}}', "{", ""])
def test_json_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset_coco.json").write_text(content)
    with pytest.raises(UserError, match="dataset_coco.json"):
        load(tmp_path)


def test_images_without_captions_are_noted(flickr: Path) -> None:
    add_images(flickr / "Flicker8k_Dataset", "x.jpg", "y.JPG", "._a.jpg")
    data = load(flickr)
    assert data.problems == []
    assert "image files without a caption: 2 (Flicker8k_Dataset/x.jpg, ...)" in data.notes


# ---- what the caller sees


def test_the_summary_counts(flickr: Path) -> None:
    data = load(flickr)
    lines = data.summary().splitlines()
    assert lines[2].split() == ["train", "2", "4", "4.0", "(4)"]
    assert lines[4].startswith("note: left out")


# ---- real size


def test_coco_size_loads_in_seconds(tmp_path: Path) -> None:
    count = 2_000  # a sixtieth of COCO
    images = [{"id": n, "file_name": f"{n:012}.jpg"} for n in range(count)]
    annotations = [
        {"id": 5 * n + k, "image_id": n, "caption": "A man rides a wave on top of a surfboard."}
        for n in range(count)
        for k in range(5)
    ]
    coco(tmp_path, images=images, annotations=annotations)
    (tmp_path / "train2017").mkdir()
    for image in images:
        (tmp_path / "train2017" / image["file_name"]).touch()
    start = time.process_time()
    data = load(tmp_path)
    seconds = time.process_time() - start
    assert sum(len(image.captions) for image in data.splits["train"]) == 5 * count
    assert seconds < 1  # 0.06 s of one core


def test_flickr8k(shared: Path) -> None:
    data = load(shared / "flickr8k")
    assert data.format == "flickr"
    assert {split: len(images) for split, images in data.splits.items()} == {
        "train": 6000, "val": 1000
    }  # fmt: skip
    assert data.problems == data.notes == []
    assert all(len(image.captions) == 5 for image in data.splits["train"])
    assert data.splits["val"][0].path.is_file()
