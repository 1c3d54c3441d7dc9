"""The layouts that data sets of others come in: each is recognised, and read as it was meant."""

from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path

import pytest

from captioning.data import CaptionData, load
from common.errors import UserError

CAPTIONS = {"a.jpg": ["A cat .", "Cat !"], "b.jpg": ["A dog ."], "c.jpg": ["A cow ."]}


def put(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def pictures(folder: Path, *names: str) -> None:
    put(folder, dict.fromkeys(names, b""))


def lines(*records: object) -> str:
    return "".join(json.dumps(each) + "\n" for each in records)


def read(data: CaptionData) -> dict[str, dict[str, list[str]]]:
    """By split and by file the captions."""
    return {
        split: {image.path.name: image.captions for image in images}
        for split, images in data.splits.items()
    }


def everything(folder: Path, **options: object) -> dict[str, list[str]]:
    """The captions by file of a data set without damage."""
    data = load(folder, max_problems=0, **options)
    return {image.path.name: image.captions for images in data.splits.values() for image in images}


# ---- tables, whatever their columns are called


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "| "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_with_every_delimiter(tmp_path: Path, delimiter: str, end: str, mark: str) -> None:
    pictures(tmp_path / "images", *CAPTIONS)
    rows = [("image_name", "comment_number", "comment")]
    rows += [(name, str(n), text) for name in CAPTIONS for n, text in enumerate(CAPTIONS[name])]
    put(tmp_path, {"results.csv": mark + "".join(delimiter.join(row) + end for row in rows)})
    assert everything(tmp_path) == CAPTIONS


IMAGE_COLUMNS = [
    *(
        "image",
        "img",
        "IMG",
        "filename",
        "file_name",
        "File-Name",
        "file",
        "image_path",
        "imagePath",
    ),
    *("image_name", "path", "image_id", "Image-ID", "filepath", "img_path"),
]
CAPTION_COLUMNS = [
    *(
        "caption",
        "CAPTION",
        "Captions",
        "text",
        "sentence",
        "comment",
        "description",
        "title",
        "raw",
    ),
]


@pytest.mark.parametrize("image", IMAGE_COLUMNS)
def test_columns_by_the_usual_names(tmp_path: Path, image: str) -> None:
    pictures(tmp_path, "a.jpg")
    for caption in CAPTION_COLUMNS:
        put(tmp_path, {"x.csv": f"{image};{caption}\na.jpg;A cat, asleep\n"})
        assert everything(tmp_path) == {"a.jpg": ["A cat, asleep"]}


@pytest.mark.parametrize(
    "columns",
    ["caption_1,caption_2", "caption1,caption2", "caption 0,caption 1", "comment_0,comment_1",
     "caption#1,caption#2", "caption #1,caption #2", "Caption-1,Caption-2", "caption,caption",
     "caption.1,caption.2", "sentence (1),sentence (2)", "1_caption,2_caption", "text,text2"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_numbered_captions_in_any_spelling(tmp_path: Path, columns: str, kind: str) -> None:
    pictures(tmp_path, "a.jpg", "b.jpg")
    if kind == "csv":
        put(tmp_path, {"x.csv": f"file,{columns}\na.jpg,One,Two\nb.jpg,Three,\n"})
    else:
        names = columns.split(",") if columns != "caption,caption" else ["caption", "caption2"]
        first = {"file": "a.jpg", names[0]: "One", names[1]: "Two"}
        second = {"file": "b.jpg", names[0]: "Three", names[1]: None}
        text = lines(first, second) if kind == "jsonl" else json.dumps([first, second])
        put(tmp_path, {f"x.{kind}": text})
    assert everything(tmp_path) == {"a.jpg": ["One", "Two"], "b.jpg": ["Three"]}


def test_of_several_names_the_surest_is_read_and_the_others_are_noted(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg")
    put(tmp_path, {"x.csv": "image_id,file_name,title,caption\n7,a.jpg,Nothing,A cat\n"})
    assert everything(tmp_path) == {"a.jpg": ["A cat"]}
    (note,) = load(tmp_path).notes
    assert note == "fields that are not read, and in how many records: image_id (1), title (1)"


# ---- a file for each split


SPLITS = ["train", "val", "test"]


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("train", "valid", "test"), ("train", "validation", "test"),
     ("train", "dev", "test"), ("captions_train", "captions_val", "captions_test"),
     ("train_captions", "val_captions", "test_captions"), ("Train", "Val", "Test"),
     ("train/captions", "valid/captions", "test/captions"),
     ("my.train", "my.dev", "my.test"), ("train2017", "val2017", "test2017")],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json"])
def test_a_file_for_each_split(tmp_path: Path, names: tuple[str, ...], ending: str) -> None:
    pictures(tmp_path / "images", *CAPTIONS)
    for name, (image, captions) in zip(names, CAPTIONS.items(), strict=True):
        records = [{"image": image, "caption": text} for text in captions]
        sign = "," if ending == "csv" else "\t"
        table = "\n".join([f"image{sign}caption", *(f"{image}{sign}{text}" for text in captions)])
        text = {"jsonl": lines(*records), "json": json.dumps(records)}.get(ending, table)
        put(tmp_path, {f"{name}.{ending}": text})
    expected = {s: {image: CAPTIONS[image]} for s, image in zip(SPLITS, CAPTIONS, strict=True)}
    assert read(load(tmp_path, max_problems=0)) == expected


def test_train_and_val_are_enough_and_other_files_are_named(tmp_path: Path) -> None:
    pictures(tmp_path, *CAPTIONS)
    put(
        tmp_path,
        {
            "my_train.csv": "image,caption\na.jpg,A cat\n",
            "my_val.csv": "image,caption\nb.jpg,A dog\n",
            "more.csv": "image,caption\nc.jpg,A cow\n",
        },
    )
    data = load(tmp_path)
    assert read(data) == {"train": {"a.jpg": ["A cat"]}, "val": {"b.jpg": ["A dog"]}}
    assert "left out, because their names are of no split: more.csv" in data.notes


# ---- folders of images, of Hugging Face


@pytest.mark.parametrize("field", ["text", "caption", "captions"])
@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_a_folder_of_images_with_metadata(tmp_path: Path, field: str, name: str) -> None:
    pictures(tmp_path, "a.jpg", "deep/b.jpg")
    if name.endswith("csv"):
        put(tmp_path, {name: f"file_name,{field}\na.jpg,A cat\ndeep/b.jpg,A dog\n"})
    else:
        values = (["A cat"], ["A dog"]) if field == "captions" else ("A cat", "A dog")
        first, second = values
        records = {"file_name": "a.jpg", field: first}, {"file_name": "deep/b.jpg", field: second}
        put(tmp_path, {name: lines(*records)})
    assert everything(tmp_path) == {"a.jpg": ["A cat"], "b.jpg": ["A dog"]}


@pytest.mark.parametrize("above", ["", "data/"])
@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_metadata_in_the_folder_of_each_split(tmp_path: Path, name: str, above: str) -> None:
    for folder, text in (("train", "A cat"), ("validation", "A dog"), ("test", "A cow")):
        pictures(tmp_path / above / folder, "0001.png")  # the same name in each
        content = f"file_name,text\n0001.png,{text}\n"
        content = (
            content if name.endswith("csv") else lines({"file_name": "0001.png", "text": text})
        )
        put(tmp_path / above / folder, {name: content})
    data = load(tmp_path, max_problems=0)
    assert {split: images[0].captions for split, images in data.splits.items()} == {
        "train": ["A cat"],
        "val": ["A dog"],
        "test": ["A cow"],
    }
    assert data.splits["val"][0].path == tmp_path / above / "validation" / "0001.png"


def test_metadata_of_one_folder_alone(tmp_path: Path) -> None:
    pictures(tmp_path / "train", "a.jpg", "b.jpg")
    records = ({"file_name": name, "text": "A cat"} for name in ("a.jpg", "b.jpg"))
    put(tmp_path / "train", {"metadata.jsonl": lines(*records)})
    assert everything(tmp_path) == {"a.jpg": ["A cat"], "b.jpg": ["A cat"]}
    assert everything(tmp_path / "train") == {"a.jpg": ["A cat"], "b.jpg": ["A cat"]}


# ---- a text beside each image


@pytest.mark.parametrize("folder", ["", "images/", "10_cats/"])
@pytest.mark.parametrize("ending", ["txt", "caption"])
def test_a_text_beside_each_image(tmp_path: Path, folder: str, ending: str) -> None:
    pictures(tmp_path, *(folder + name for name in CAPTIONS))
    for name, captions in CAPTIONS.items():
        text = "\r\n".join(captions) + "\n\n"
        put(tmp_path, {f"{folder}{name[0]}.{ending}": text})
    put(tmp_path, {"README.txt": "About these pictures.\n"})
    data = load(tmp_path)
    assert data.format == "text"
    assert everything(tmp_path) == CAPTIONS
    assert {image.id for images in data.splits.values() for image in images} == {
        folder + name for name in CAPTIONS
    }


def test_texts_beside_images_in_folders_of_splits(tmp_path: Path) -> None:
    for split, name in zip(("train", "valid", "test"), CAPTIONS, strict=True):
        pictures(tmp_path / split, name)
        put(tmp_path / split, {f"{name[0]}.txt": "\n".join(CAPTIONS[name])})
    assert read(load(tmp_path)) == {
        split: {name: CAPTIONS[name]} for split, name in zip(SPLITS, CAPTIONS, strict=True)
    }


def test_texts_in_a_tree_of_their_own(tmp_path: Path) -> None:
    for name, captions in CAPTIONS.items():
        pictures(tmp_path / "images" / "001.Cats", name)
        put(tmp_path / "text" / "001.Cats", {f"{name[0]}.txt": "\n".join(captions)})
    assert everything(tmp_path) == CAPTIONS


def test_damage_of_texts_is_named(tmp_path: Path) -> None:
    pictures(tmp_path, *CAPTIONS)
    put(tmp_path, {"a.txt": "", "b.txt": "Une f\u00eate".encode("latin-1"), "c.txt": "A cow ."})
    data = load(tmp_path, max_problems=1, val_fraction=0, test_fraction=0)
    assert read(data) == {"train": {"c.jpg": ["A cow ."]}}
    assert data.damage["records"].problems == ["a.txt: no caption in it"]
    assert data.damage["captions"].problems == ["b.txt:1: not UTF-8 text (byte 0xea)"]


def test_a_table_is_surer_than_texts_beside_images(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg")
    put(tmp_path, {"a.txt": "1girl, solo\n", "captions.csv": "image,caption\na.jpg,A cat\n"})
    data = load(tmp_path)
    assert data.format == "csv"
    assert "read as csv; it could also be read as text" in data.notes


# ---- annotations as COCO has them, under any name


def coco(**captions: list[str]) -> str:
    names = list(captions)
    keys = ["file_name", "filename", "path"]
    images = [{"id": n, keys[n % 3]: f"{name}.jpg"} for n, name in enumerate(names)]
    annotations = [
        {"id": f"{name}{k}", "image_id": names.index(name), "caption": text}
        for name, texts in captions.items()
        for k, text in enumerate(texts)
    ]
    return json.dumps({"info": {}, "images": images, "annotations": annotations})


@pytest.mark.parametrize(
    "names",
    [("train", "val"), ("annotations/my_train", "annotations/my_val"), ("train-v2", "dev-v2"),
     ("train/_annotations.coco", "valid/_annotations.coco")],
)  # fmt: skip
def test_annotations_like_those_of_coco(tmp_path: Path, names: tuple[str, str]) -> None:
    pictures(tmp_path / "images", *CAPTIONS)
    train, val = (f"{name}.json" for name in names)
    put(tmp_path, {train: coco(a=["A cat"], b=["A dog"]), val: coco(c=["A cow"])})
    data = load(tmp_path, max_problems=0)
    assert data.format == "coco"
    assert read(data) == {
        "train": {"a.jpg": ["A cat"], "b.jpg": ["A dog"]},
        "val": {"c.jpg": ["A cow"]},
    }


def test_one_file_like_those_of_coco_is_split_by_the_seed(tmp_path: Path) -> None:
    pictures(tmp_path, *CAPTIONS)
    put(tmp_path, {"mine.json": coco(a=["A cat"], b=["A dog"], c=["A cow"])})
    assert set(everything(tmp_path)) == set(CAPTIONS)
    assert load(tmp_path).format == "coco"


def test_splits_of_karpathy_under_any_name(tmp_path: Path) -> None:
    pictures(tmp_path, "a.jpg")
    image = {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A cat"}]}
    put(tmp_path, {"flickr8k-splits.json": json.dumps({"images": [image]})})
    data = load(tmp_path)
    assert (data.format, read(data)) == ("karpathy", {"train": {"a.jpg": ["A cat"]}})


# ---- JSON of other kinds


@pytest.mark.parametrize(
    "content",
    [
        [{"image": name, "caption": texts} for name, texts in CAPTIONS.items()],
        {"data": [{"img": name, "captions": texts} for name, texts in CAPTIONS.items()]},
        {"info": {}, "annotations": [{"image_id": n[0], "caption": t} for n, t in CAPTIONS.items()]},
        CAPTIONS,
        {name: {"captions": texts} for name, texts in CAPTIONS.items()},
    ],
)  # fmt: skip
def test_lists_and_mappings_in_json(tmp_path: Path, content: object) -> None:
    pictures(tmp_path, *CAPTIONS)
    put(tmp_path, {"captions.json": json.dumps(content), "package.json": '{"name": "x"}'})
    assert everything(tmp_path) == CAPTIONS


def test_splits_within_json(tmp_path: Path) -> None:
    pictures(tmp_path, *CAPTIONS)
    content = {"train": {"a.jpg": ["A cat"]}, "val": [{"image": "b.jpg", "caption": "A dog"}]}
    put(tmp_path, {"captions.json": json.dumps(content)})
    assert read(load(tmp_path)) == {"train": {"a.jpg": ["A cat"]}, "val": {"b.jpg": ["A dog"]}}


# ---- how pictures are named


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.jpg", "images/deep/a.jpg"),
        ("deep/a.jpg", "images/deep/a.jpg"),
        ("a", "images/a.png"),
        ("17", "images/000000000017.jpg"),
        ("a.JPG", "images/a.jpg"),
        ("A.jpg", "images/a.JPG"),
        ("Images/a.jpg", "images/a.jpg"),
        ("/kaggle/input/flickr8k/Images/a.jpg", "pictures/a.jpg"),
        ("/kaggle/input/flickr8k/Images/a.jpg", "a.jpg"),
        (r"C:\Users\me\Pictures\a.jpg", "images/a.jpg"),
        (r"images\a.jpg", "images/a.jpg"),
        ("../pictures/a.jpg", "images/a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("~/data/a.jpg", "images/a.jpg"),
        ("flickr30k-images/a.jpg", "b/a.jpg"),
    ],
)
def test_pictures_are_found_by_their_names(tmp_path: Path, name: str, file: str) -> None:
    pictures(tmp_path, file, "images/other.jpg")
    put(tmp_path, {"captions.jsonl": lines({"image": name, "caption": "A cat"})})
    data = load(tmp_path, max_problems=0, val_fraction=0, test_fraction=0)
    assert [image.path for image in data.splits["train"]] == [tmp_path / file]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("folder", ["", "Gr\u00fc\u00dfe/"])
def test_accents_are_the_same_in_both_forms(tmp_path: Path, on_disk: str, folder: str) -> None:
    name = f"{folder}caf\u00e9 \ud55c\uad6d.jpg"
    other = {"NFC": "NFD", "NFD": "NFC"}[on_disk]
    pictures(tmp_path, unicodedata.normalize(on_disk, name))
    written = unicodedata.normalize(other, name)
    put(tmp_path, {"x.csv": f"image,caption\n{written},A cat\n{tmp_path}/{written},Two\n"})
    (image,) = load(tmp_path, max_problems=0, val_fraction=0, test_fraction=0).splits["train"]
    assert image.path.is_file() and image.captions == ["A cat", "Two"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_lists_of_splits_may_have_accents_in_another_form(tmp_path: Path, form: str) -> None:
    name, other = "caf\u00e9.jpg", {"NFC": "NFD", "NFD": "NFC"}[form]
    pictures(tmp_path, name)
    put(tmp_path, {"x.token": unicodedata.normalize(form, f"{name}#0\tA cat\n")})
    put(tmp_path, {"val.txt": unicodedata.normalize(other, f"{name}\n")})
    assert read(load(tmp_path)) == {"val": {name: ["A cat"]}}


def test_the_end_of_a_path_is_not_taken_for_a_picture_of_another_split(tmp_path: Path) -> None:
    pictures(tmp_path, "val/1.jpg", "train/2.jpg")
    put(
        tmp_path,
        {
            "x.jsonl": lines(
                {"image": "train/1.jpg", "caption": "Not that of val"},
                {"image": "/home/me/train/2.jpg", "caption": "A cat"},
                {"image": "test/1.jpg", "caption": "Not that of val"},
            )
        },
    )
    data = load(tmp_path, max_problems=1, val_fraction=0, test_fraction=0)
    assert read(data) == {"train": {"2.jpg": ["A cat"]}}
    assert data.problems == [
        "x.jsonl:1: there is no image train/1.jpg (there is val/1.jpg)",
        "x.jsonl:3: there is no image test/1.jpg (there is val/1.jpg)",
    ]


def test_what_is_found_by_the_end_of_its_path_is_noted(tmp_path: Path) -> None:
    pictures(tmp_path, "images/a.jpg")
    put(tmp_path, {"x.csv": "image,caption\n/kaggle/input/f/a.jpg,A cat\n"})
    assert load(tmp_path).notes == [
        "images found by the ends of their paths: 1 (/kaggle/input/f/a.jpg is images/a.jpg, ...)"
    ]


def test_two_pictures_of_a_name_are_ambiguous_at_any_depth(tmp_path: Path) -> None:
    pictures(tmp_path, "cats/1.jpg", "more/dogs/1.jpg", "fine.jpg")
    put(tmp_path, {"x.csv": "image,caption\n1.jpg,A cat\nfine.jpg,Fine\n/data/1,A cat\n"})
    data = load(tmp_path, max_problems=1)
    assert [problem.split(":")[1] for problem in data.problems] == ["2", "4"]
    for problem in data.problems:
        assert "ambiguous: it could be cats/1.jpg or more/dogs/1.jpg" in problem


def test_no_usable_picture_says_why(tmp_path: Path) -> None:
    pictures(tmp_path, "cats/1.jpg", "dogs/1.jpg")
    put(tmp_path, {"x.csv": "image,caption\n1.jpg,A cat\n"})
    with pytest.raises(UserError, match=r"none of the 1 images.*--images DIR.*1\.jpg is ambiguous"):
        load(tmp_path)


# ---- what is not recognised says what it has and what is known


@pytest.mark.parametrize(
    ("name", "content", "found", "lacking"),
    [
        ("x.csv", "bild;caption\na.jpg;A cat\n", "bild, caption", "no image"),
        ("x.csv", "img,words\na.jpg,A cat\n", "img, words", "no captions"),
        ("x.tsv", "bild\twort\na.jpg\tA cat\n", "bild, wort", "no image and no captions"),
        ("captions.txt", "a.jpg,A cat\n", "a.jpg, A cat", "no image and no captions"),
        ("x.jsonl", '{"bild": "a.jpg", "text": "A cat"}\n', "bild, text", "no image"),
        ("x.json", '[{"bild": "a.jpg", "text": "A cat"}]', "bild, text", "no image"),
        ("x.jsonl", "no json\n", "no line of it is a JSON object", "x.jsonl"),
        ("x.csv", "", "empty", "x.csv"),
    ],
)
def test_what_was_found_and_what_is_known(
    tmp_path: Path, name: str, content: str, found: str, lacking: str
) -> None:
    pictures(tmp_path, "a.jpg")
    put(tmp_path, {name: content})
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(UserError) as raised:
            load(path)
        message = str(raised.value)
        assert name in message and found in message and lacking in message, message
        assert "\n" not in message
        if "no image" in lacking or "no captions" in lacking:
            assert "image_path" in message and "description" in message


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json", "captions.txt"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfea\x00", b"\x00" * 50, b'"', b'"a\n\nb', b"{", b"[[]]",
     b"image,caption", b'image,caption\n"a.jpg,A cat\n', b"image\n", b",,,\n,,,\n", b"\xc7\xd1\n" * 9,
     b'{"image": "a.jpg", "caption": 7}', b'{"image": {}, "caption": []}', b'[{"image": null}]',
     b"image,caption,split\na.jpg,A cat,\na.jpg,A cat\n", b"[" * 100_000, b"sep=;\nimage;caption\n"],
)  # fmt: skip
def test_garbage_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    pictures(tmp_path, "a.jpg")
    put(tmp_path, {name: content})
    for format in (None, "csv", "jsonl", "json", "coco", "karpathy"):
        with pytest.raises(UserError) as raised:
            load(tmp_path, format, max_problems=0)
        assert "\n" not in str(raised.value)


def test_files_that_are_no_captions_at_all_get_the_list_of_formats(tmp_path: Path) -> None:
    put(tmp_path, {"README.txt": "Hello, world\n", "package.json": '{"name": "x"}'})
    with pytest.raises(UserError, match=r"Looked for .*coco: "):
        load(tmp_path)


def test_what_was_found_is_shown_before_the_pictures(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{n}.jpg" for n in range(30)))
    put(tmp_path, {"words.doc": "", "words.csv": "x,y\n1,2\n"})
    with pytest.raises(UserError, match=r"\(found: words\.csv, 0\.jpg, .*, \.\.\. 32 files\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    "name", ["data/train-00000-of-00001.parquet", "captions.xlsx", "all.tar.gz"]
)
def test_what_is_no_text_is_told_apart(tmp_path: Path, name: str) -> None:
    put(tmp_path, {name: b"PK\3\4" + bytes(9)})
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"\0" * 600))
    with pytest.raises(UserError, match=rf"{Path(name).name} is not read: .* JSON lines"):
        load(tmp_path)


def test_records_may_be_in_a_file_that_is_called_dataset(tmp_path: Path) -> None:
    pictures(tmp_path, *CAPTIONS)
    put(tmp_path, {"dataset.json": json.dumps(CAPTIONS)})
    assert everything(tmp_path) == CAPTIONS


# ---- advice that helps


@pytest.mark.parametrize("encoding", ["cp949", "latin-1"])
@pytest.mark.parametrize("header", ["image,caption", "\uc774\ubbf8\uc9c0\u00e9,caption"])
def test_another_encoding_is_not_met_with_a_higher_limit(
    tmp_path: Path, encoding: str, header: str
) -> None:
    text = "\ud55c\uad6d\uc5b4" if encoding != "latin-1" else "caf\u00e9"
    header = header if encoding != "latin-1" else header.replace("\uc774\ubbf8\uc9c0", "")
    pictures(tmp_path, *CAPTIONS)
    rows = "".join(f"{name},{text if name < 'c' else 'A cow'}\n" for name in CAPTIONS)
    put(tmp_path, {"captions.csv": f"{header}\n{rows}".encode(encoding, errors="ignore")})
    with pytest.raises(UserError, match="UTF-8") as raised:
        load(tmp_path)
    assert "max-problems" not in str(raised.value)


def test_a_higher_limit_is_not_advised_where_the_validation_images_are_lost(tmp_path: Path) -> None:
    rows = [f"{n}.jpg,A cat,{'val' if n == 9 else 'train'}\n" for n in range(10)]
    pictures(tmp_path, *(f"{n}.jpg" for n in range(9)))
    put(tmp_path, {"captions.csv": f"image,caption,split\n{''.join(rows)}"})
    with pytest.raises(UserError, match="1 of 10 pictures are damaged") as raised:
        load(tmp_path)
    assert "max-problems" not in str(raised.value)
    pictures(tmp_path, "9.jpg")
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(UserError, match=r"--max-problems 0\.1 "):
        load(tmp_path)
    load(tmp_path, max_problems=0.1)
