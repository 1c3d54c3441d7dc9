"""Features that anybody computed: each layout, images of different numbers of regions, hostile files."""

from __future__ import annotations

import os
import pickle
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from captioning.features import FeatureFolder
from common.errors import UserError

NAMES = ["val/a.jpg", "val/b.jpg", "c.png", "d"]


def features(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def as_array(folder: Path, values: np.ndarray, names: list[str] = NAMES) -> FeatureFolder:
    folder.mkdir(exist_ok=True)
    np.save(folder / "features.npy", values)
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in names))
    return FeatureFolder(folder)


def as_files(folder: Path, values: list[np.ndarray], names: list[str]) -> FeatureFolder:
    for name, each in zip(names, values, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, each)
    return FeatureFolder(folder)


# --- layouts


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4", np.float64])
@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 5)])
def test_one_array_with_names(tmp_path: Path, shape, dtype) -> None:
    values = features(*shape, dtype=dtype)
    folder = as_array(tmp_path, values)
    assert folder.names == NAMES and folder.feature_size == 5
    assert folder.regions == (len(shape) == 3)
    (read,) = folder.read([2, 0, 2])
    assert read.dtype == (torch.float16 if dtype == np.float16 else torch.float32)
    assert np.array_equal(read.numpy(), values[[2, 0, 2]].astype(np.float32))
    with pytest.raises(IndexError):
        folder.read([4])
    with pytest.raises(ValueError, match="mirrored"):
        folder.read([0], [True])


def test_mirrored_features_of_an_array(tmp_path: Path) -> None:
    plain, flipped = features(4, 3, 5), features(4, 3, 5) + 1
    np.save(tmp_path / "features-mirrored.npy", flipped)
    (read,) = as_array(tmp_path, plain).read([3, 1, 1], [False, True, False])
    assert np.array_equal(read.numpy(), np.stack([plain[3], flipped[1], plain[1]]))


@pytest.mark.parametrize("shape", [(3, 5), (5,)])
def test_a_file_for_each_image(tmp_path: Path, shape) -> None:
    values = [features(*shape) + number for number in range(4)]
    as_files(tmp_path, values[:2], ["1.npy", "val/2.jpg.npy"])
    np.savez(tmp_path / "3.npz", values[2])
    np.savez_compressed(tmp_path / "4.npz", boxes=np.zeros((3, 4)), features=values[3])
    folder = FeatureFolder(tmp_path)
    kept, rows, problems = folder.find(["1.jpg", "val/2.jpg", "images/3.jpg", "4.png"])
    assert kept == [0, 1, 2, 3] and problems == []
    (read,) = folder.read(rows)
    assert np.array_equal(read.numpy(), np.stack(values))


def test_an_image_is_found_by_its_name_with_or_without_folder_and_ending(tmp_path: Path) -> None:
    folder = as_array(tmp_path, features(4, 5))
    found = {
        "val/a.jpg": 0, "/data/val/a.jpg": 0, "b.jpg": None, "train/a.jpg": None,
        "c.png": 2, "train/c.png": 2, "d.jpg": 3, "x/y/d.tar.jpg": None, "": None,
    }  # fmt: skip
    assert {name: folder.locate(name) for name in found} == found
    kept, rows, problems = folder.find(["d.jpg", "e.jpg"])
    assert (kept, rows.tolist()) == ([0], [3])
    assert problems == [(1, f"{tmp_path} has no features of e.jpg")]


def test_a_row_without_a_name_is_of_no_image(tmp_path: Path) -> None:
    folder = as_array(tmp_path, features(4, 5), ["a", "", "", "b"])
    assert folder.locate("") is None and folder.locate("b.jpg") == 3


def test_images_of_different_numbers_of_regions_are_padded_and_masked(tmp_path: Path) -> None:
    values = [features(size, 5) for size in (2, 4, 1)]
    folder = as_files(tmp_path, values, ["a.npy", "b.npy", "c.npy"])
    padded, mask = folder.read([2, 1, 0])
    assert padded.shape == (3, 4, 5) and mask.dtype == torch.bool
    assert mask.sum(1).tolist() == [1, 4, 2]
    for row, each in enumerate((values[2], values[1], values[0])):
        assert np.array_equal(padded[row, : len(each)].numpy(), each)
        assert mask[row, : len(each)].all() and (padded[row, len(each) :] == 0).all()
    (alone,) = folder.read([2, 2])
    assert alone.shape == (2, 1, 5)


def test_another_process_opens_the_files_and_is_not_sent_them(tmp_path: Path) -> None:
    folder = as_array(tmp_path, features(4, 300, 5))
    sent = pickle.dumps(folder)
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent).read([3])[0], folder.read([3])[0])


# --- what is wrong


class Trap:
    def __reduce__(self):
        return pytest.fail, ("was unpickled",)


def truncated(path: Path) -> None:
    np.save(path, features(40, 50))
    path.write_bytes(path.read_bytes()[:-1])


def pickled(path: Path) -> None:
    np.save(path, np.array([Trap()], object), allow_pickle=True)


def zip_of_pickles(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, features=np.array([Trap()], object))


def zip_of_several(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, boxes=features(3, 4), classes=features(3, 5))


HARM: dict[str, Callable[[Path], object]] = {
    "truncated": truncated,
    "pickled": pickled,
    "zip of pickles": zip_of_pickles,
    "zip of several": zip_of_several,
    "pickle": lambda path: path.write_bytes(pickle.dumps(Trap())),
    "text": lambda path: path.write_text("no array"),
    "empty": lambda path: path.write_bytes(b""),
    "integers": lambda path: np.save(path, np.ones((3, 5), int)),
    "no regions": lambda path: np.save(path, np.ones((0, 5))),
    "number": lambda path: np.save(path, np.float32(1)),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_file_of_an_image_is_damage_of_that_image(tmp_path: Path, harm) -> None:
    HARM[harm](tmp_path / "1.npy")
    as_files(tmp_path, [features(3, 5)], ["2.npy"])
    kept, _, problems = FeatureFolder(tmp_path).find(["1.jpg", "2.jpg"])
    assert kept == [1]
    ((position, line),) = problems
    assert position == 0 and line.startswith(str(tmp_path / "1.npy")) and "\n" not in line


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_array_is_refused(tmp_path: Path, harm) -> None:
    HARM[harm](tmp_path / "features.npy")
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    with pytest.raises(UserError) as caught:
        FeatureFolder(tmp_path)
    assert str(tmp_path / "features.npy") in str(caught.value) and "\n" not in str(caught.value)


def test_shapes_that_differ_from_those_of_the_others_are_damage(tmp_path: Path) -> None:
    shapes = [(3, 5), (3, 6), (5,), (2, 5), (1, 3, 5)]
    folder = as_files(tmp_path, [features(*s) for s in shapes], [f"{k}.npy" for k in range(5)])
    kept, _, problems = folder.find(str(k) for k in range(5))
    assert kept == [0, 3]
    assert "1.npy is of shape (3, 6), where others are (3, 5)" in problems[0][1]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused_where_they_are_read(tmp_path: Path, wrong) -> None:
    values = features(4, 3, 5)
    values[2, 1, 4] = wrong
    folder = as_array(tmp_path / "array", values)
    folder.read([0, 1, 3])
    for _ in range(2):
        with pytest.raises(UserError, match=r"c\.png: its features are not finite"):
            folder.read([0, 2])
    files = as_files(tmp_path / "files", list(values), [f"{k}.npy" for k in range(4)])
    with pytest.raises(UserError, match=r"2\.npy: its features are not finite"):
        files.read([0, 2])


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        FeatureFolder(tmp_path / "nowhere")
    with pytest.raises(UserError, match="neither features.npy with names.txt, nor"):
        FeatureFolder(tmp_path)
    np.save(tmp_path / "features.npy", features(4, 5))
    with pytest.raises(UserError, match=r"names\.txt is missing"):
        FeatureFolder(tmp_path)
    for names, message in (
        ("a\nb\nc\n", r"\(4, 5\).* 3 lines"),
        ("a\nb\na\nc\n", "features of a twice"),
    ):
        (tmp_path / "names.txt").write_text(names)
        with pytest.raises(UserError, match=message):
            FeatureFolder(tmp_path)
    np.save(tmp_path / "features-mirrored.npy", features(4, 6))
    with pytest.raises(UserError, match="features-mirrored.npy is of shape"):
        as_array(tmp_path, features(4, 5))
    with pytest.raises(UserError, match="features-mirrored.npy|must be"):
        as_array(tmp_path, features(4, 1, 2, 5))
    with pytest.raises(UserError, match="no array|cannot be read"):
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "1.npy").write_text("no array")
        FeatureFolder(tmp_path / "files")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.npy")
    with pytest.raises(UserError, match=r"1\.npy is not a regular file"):
        FeatureFolder(tmp_path)


@pytest.mark.parametrize("here", ["NFC", "NFD"])
@pytest.mark.parametrize("layout", [as_array, as_files])
def test_accents_are_the_same_in_both_forms(tmp_path: Path, here: str, layout) -> None:
    name, there = "gr\u00fc\u00dfe/caf\u00e9.jpg", {"NFC": "NFD", "NFD": "NFC"}[here]
    written = unicodedata.normalize(here, name)
    folder = layout(tmp_path / "f", features(1, 5), [written + ".npy"[: 4 * (layout is as_files)]])
    assert folder.locate(unicodedata.normalize(there, name)) == 0
    assert folder.locate(written) == 0
