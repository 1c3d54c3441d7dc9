"""Records that name images and captions: all that they hold is read, or said to be left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from captioning.data import CaptionData, CaptionedImage, load
from common.errors import UserError
from common.synthetic.scenes import write_scenes

FIVE = [f"Caption {number} ." for number in range(1, 6)]


def touch(folder: Path, *names: str) -> None:
    """Files that only their names are read of."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def images(folder: Path, **options: float) -> list[CaptionedImage]:
    """All images of a folder, undamaged."""
    data = load(folder, **{"val_fraction": 0, "test_fraction": 0} | options)
    assert data.problems == []
    return [image for images in data.splits.values() for image in images]


def write_lines(path: Path, *records: object) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


# ---- an image in several records


@pytest.mark.parametrize("key", ["caption", "captions"])
@pytest.mark.parametrize("split", [{}, {"split": "train"}])
def test_a_line_for_each_caption_is_a_line_with_all_of_them(
    tmp_path: Path, key: str, split: dict[str, str]
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    lines = [
        {"image": image, key: text if key == "caption" else [text], **split}
        for text in FIVE
        for image in ("a.jpg", "b.jpg")
    ]
    write_lines(tmp_path / "captions.jsonl", *lines)
    assert [image.captions for image in images(tmp_path)] == [FIVE, FIVE]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_image_may_be_named_in_two_ways(tmp_path: Path, ending: str) -> None:
    touch(tmp_path / "images", "a.jpg")
    rows = [("a.jpg", "One ."), ("images/a.jpg", "Two ."), (" a.jpg", "One .")]
    if ending == "csv":
        text = "".join(f"{image},{caption}\n" for image, caption in rows)
        (tmp_path / "captions.csv").write_text(f"image,caption\n{text}")
    else:
        lines = ({"image": image, "caption": caption} for image, caption in rows)
        write_lines(tmp_path / "captions.jsonl", *lines)
    (image,) = images(tmp_path)
    assert sorted(image.captions) == ["One .", "One .", "Two ."]


def test_an_image_that_is_absent_is_one_problem_however_often_it_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    lines = [{"image": name, "caption": text} for name in ("a.jpg", "gone.jpg") for text in FIVE]
    write_lines(tmp_path / "captions.jsonl", *lines)
    assert load(tmp_path, max_problems=1).problems == [
        "captions.jsonl:6: there is no image gone.jpg"
    ]


# ---- several captions in a record


@pytest.mark.parametrize(
    "header",
    [
        "image,caption,caption2,caption3,caption4,caption5",
        "image,caption_0,caption_1,caption_2,caption_3,caption_4",
        "filename,Caption 1,Caption 2,Caption 3,Caption 4,Caption 5",
        "image_name,comment1,comment2,comment3,comment4,comment5",
        "image,caption,caption,caption,caption,caption",
    ],
)
def test_numbered_columns_are_all_read(tmp_path: Path, header: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    row = ",".join(FIVE)
    (tmp_path / "any.csv").write_text(f"{header}\na.jpg,{row}\nb.jpg,Alone .,, ,,\n")
    assert [image.captions for image in images(tmp_path)] == [FIVE, ["Alone ."]]
    assert load(tmp_path).notes == []


def test_a_list_in_a_cell_is_read_and_a_broken_one_is_damage(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    cut = "\"['One .', 'Tw\""
    (tmp_path / "any.tsv").write_text(
        f"image\tcaptions\na.jpg\t{json.dumps(FIVE).replace(chr(34), chr(39))}\n"
        f"b.jpg\t{cut}\nc.jpg\t[a sign]\n"
    )
    data = load(tmp_path, max_problems=1, val_fraction=0, test_fraction=0)
    assert [image.captions for image in data.split("train")] == [FIVE, ["[a sign]"]]
    assert data.problems == ["any.tsv:3: a list of captions that cannot be read: ['One .', 'Tw"]


def test_a_record_without_captions_is_damaged_also_where_others_name_its_image(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "a.jpg")
    write_lines(tmp_path / "x.jsonl", {"image": "a.jpg", "caption": "One ."}, {"image": "a.jpg"})
    assert load(tmp_path, max_problems=1).problems == ['x.jsonl:2: no "captions"']


# ---- what is not read


def test_fields_that_are_not_read_are_named_with_the_number_of_records(tmp_path: Path) -> None:
    for folder in ("table", "lines"):
        touch(tmp_path / folder, "a.jpg", "b.jpg")
    (tmp_path / "table" / "results.csv").write_text(
        "image_name| comment_number| comment| text\na.jpg| 0| One .| I\nb.jpg| 0| Two .| II\n"
    )
    note = "fields that are not read, and in how many records: "
    assert load(tmp_path / "table").notes == [f"{note}comment_number (2), text (2)"]
    write_lines(
        tmp_path / "lines" / "captions.jsonl",
        {"image": "a.jpg", "captions": ["One ."], "tags": [1], "source": "x"},
        {"image": "b.jpg", "captions": ["Two ."], "tags": []},
    )
    assert load(tmp_path / "lines").notes == [f"{note}tags (2), source (1)"]


def test_of_generated_scenes_everything_is_read(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", train=2, val=1, held_out=1, size=16)
    assert load(tmp_path / "scenes").notes == []


# ---- damage


@pytest.fixture
def thirty(tmp_path: Path) -> Path:
    """Thirty pictures, and a row for each of their five captions."""
    names = [f"{number}.jpg" for number in range(30)]
    touch(tmp_path, *names)
    rows = [f"{name},{text}" for name in names for text in FIVE]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *rows, ""]))
    return tmp_path


def append(folder: Path, text: str) -> CaptionData:
    with open(folder / "captions.csv", "a") as file:
        file.write(text)
    return load(folder)


def test_a_broken_row_is_one_of_the_rows(thirty: Path) -> None:
    assert append(thirty, "broken\n").problems[0].startswith("captions.csv:152: 1 column")
    with pytest.raises(UserError, match=r"2 of 152 records are damaged \(1.32%\)"):
        append(thirty, "broken\n")


def test_an_empty_caption_is_one_of_the_captions(thirty: Path) -> None:
    assert append(thirty, "1.jpg,\n").problems == ["captions.csv:152: caption 0 of 1.jpg is empty"]
    with pytest.raises(UserError, match=r"2 of 152 captions are damaged \(1.32%\)"):
        append(thirty, "1.jpg,\n")


def test_a_missing_picture_is_one_of_the_pictures(thirty: Path) -> None:
    with pytest.raises(UserError, match=r"1 of 31 pictures are damaged \(3.23%\)"):
        append(thirty, "gone.jpg,One\n")


def test_the_limit_that_is_advised_is_high_enough_for_every_kind_of_damage(thirty: Path) -> None:
    with pytest.raises(UserError, match=r"--max-problems 0\.033 ") as raised:
        append(thirty, "gone.jpg,One\nbroken\nbroken\n")
    assert "gone.jpg" in str(raised.value)
    assert len(load(thirty, max_problems=0.033).problems) == 3
