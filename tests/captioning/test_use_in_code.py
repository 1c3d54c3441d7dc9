"""The captioner in somebody's code: one picture or several, whatever a picture is."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioning import Captioner
from captioning.data import load
from captioning.features import FeatureFolder
from captioning.image_files import list_images
from captioning.images import ImageError, open_image
from captioning.model import build_model, make_transform
from common.decoding import BeamSearch, Sampling
from common.errors import UserError
from common.models.sentence import Sentence
from common.synthetic.scenes import write_scenes
from common.text import Language, Vocabulary, WordTokenizer
from common.training import Evaluation
from tests.captioning.pictures import saved, scene
from tests.captioning.test_captioner import tiny_options


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    torch.manual_seed(0)
    options = tiny_options(Path("data"), Path("run"))
    language = Language(WordTokenizer(), Vocabulary(["a", "red", "dog", "and", "two", "cats"]))
    model = build_model(options, language.vocabulary, "none")
    search = BeamSearch(beam_size=2, min_length=2, max_length=5)
    return Captioner(model, make_transform(options.encoder), language, search)


def test_one_picture_gives_one_caption_and_several_give_a_list(captioner, tmp_path):
    path = saved(tmp_path / "dog.png", scene())
    one = captioner.caption(path)
    assert isinstance(one, str) and one
    assert captioner.caption(str(path)) == one
    assert captioner.caption([path]) == captioner.caption((str(path),)) == [one]
    assert captioner.caption(each for each in [path, path]) == [one, one]
    assert captioner.caption([]) == [] and captioner.captions([]) == []
    best = captioner.captions(path)
    assert isinstance(best[0], Sentence) and best[0].text == one
    assert captioner.captions([path])[0] == best
    assert len(captioner.captions(path, Sampling(num_samples=3, max_length=4))) == 3
    assert torch.equal(captioner.inputs(path)[0], captioner.inputs([path])[0])
    assert torch.equal(captioner.transform(path), captioner.transform([path])[0])
    assert list_images(str(path)) == list_images([path]) == [path]
    assert captioner.caption(path, batch_size=1, constraints=[]) is not None


def everything(path: Path) -> dict[str, object]:
    """A picture as everything that it may be."""
    image = Image.open(path).convert("RGB")
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    return {
        "path": path, "text": str(path), "image": image, "bytes": path.read_bytes(),
        "bytearray": bytearray(path.read_bytes()), "file": io.BytesIO(path.read_bytes()),
        "array": array, "a view": array[::-1][::-1], "floats": array / 255.0,
        "float32": (array / 255).astype(np.float32),
        "opaque": np.dstack([array, np.full_like(array[..., :1], 255)]),
        "tensor": tensor, "float tensor": tensor.float() / 255, "double": tensor.double() / 255,
        "learnt": (tensor.float() / 255).requires_grad_(), "not contiguous": tensor.flip(1).flip(1),
    }  # fmt: skip


def test_every_kind_of_picture_goes_through_the_one_transform(captioner, tmp_path):
    path = saved(tmp_path / "dog.png", scene(37, 23))
    (wanted,), caption = captioner.inputs([path]), captioner.caption(path)
    for name, picture in everything(path).items():
        assert torch.equal(captioner.inputs([picture])[0], wanted), name
        if name != "file":  # which is read once
            assert captioner.caption(picture) == caption, name


def test_grey_and_transparent_pixels():
    grey = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
    expected = np.asarray(open_image(Image.fromarray(grey)))
    same = [
        grey,
        grey[..., None],
        torch.from_numpy(grey),
        torch.from_numpy(grey)[None],
        grey / 255.0,
    ]
    for each in same:
        assert np.array_equal(np.asarray(open_image(each)), expected)
    clear = np.zeros((4, 6, 4), np.uint8)  # laid over white, as a file would be
    assert np.asarray(open_image(clear)).min() == 255
    assert np.asarray(open_image(torch.zeros(4, 4, 6))).min() == 255


PIXELS = np.zeros((8, 9, 3), np.uint8)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (PIXELS.transpose(2, 0, 1), r"shape \(3, 8, 9\): give \(H, W, 3\), .*\.transpose\(1, 2, 0\)"),
        (torch.zeros(8, 9, 3), r"shape \(8, 9, 3\): give \(3, H, W\), .*\.permute\(2, 0, 1\)"),
        (torch.zeros(2, 3, 8, 9), "several pictures are given as a list"),
        (PIXELS[None], "several pictures are given as a list"),
        (PIXELS[..., :2], r"shape \(8, 9, 2\)"),
        (PIXELS[:0], r"shape \(0, 9, 3\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.array("x"), r"shape \(\)"),
        (PIXELS.astype(int), "array of int64: give uint8, or floats"),
        (PIXELS.astype(np.uint16), "array of uint16"),
        (torch.zeros(3, 4, 4, dtype=torch.bool), "tensor of bool"),
        (PIXELS + 200.0, r"array of floats from 200 to 200: give them in \[0, 1\], not normalised"),
        (torch.full((3, 4, 4), -0.5), "tensor of floats from -0.5 to -0.5"),
        (torch.full((3, 4, 4), torch.nan), "floats from nan"),
        (b"no picture", r"cannot identify image file\)"),
        (b"", r"cannot identify image file\)"),
        (5, "a int is neither a path nor pixels"),
        (None, "a NoneType is neither a path nor pixels"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_in_one_line(captioner, picture, message):
    with pytest.raises(ImageError, match=message) as caught:
        captioner.caption([picture])
    assert "\n" not in str(caught.value)


def test_what_is_neither_a_picture_nor_several_is_refused(captioner):
    with pytest.raises(TypeError, match="one picture or several, not a int"):
        captioner.caption(5)


def test_features_are_found_by_names_alone(captioner, tmp_path):
    np.save(tmp_path / "1.npy", np.zeros((4, 8), np.float32))
    captioner.features = FeatureFolder(tmp_path)
    try:
        with pytest.raises(UserError, match="by its name: give paths"):
            captioner.caption(PIXELS)
    finally:
        captioner.features = None


def test_a_captioner_says_what_it_is(captioner):
    shown = repr(captioner)
    assert shown.startswith("Captioner(GRU, hidden size 32, additive attention, ")
    parameters = sum(each.numel() for each in captioner.model.parameters())
    assert f"{parameters:,} parameters on cpu, a vocabulary of " in shown
    assert (
        shown.endswith("\n    BeamSearch(min_length=2, max_length=5, beam_size=2))")
        and shown.count("\n") == 1
    )


def test_neither_an_evaluation_nor_a_sentence_fills_a_notebook():
    texts = {
        str(n): [Sentence("a dog", ["a", "dog"], -1.0, -2.0, torch.rand(3, 49))] for n in range(500)
    }
    found = Evaluation(
        {"bleu4": 0.2141, "cider_d": 0.5}, {"bleu4": "1,000 references " * 9},
        files={"captions.jsonl": "a dog" * 999}, recorded={"search": {}}, outputs=texts,
    )  # fmt: skip
    assert repr(found) == "Evaluation(bleu4=0.2141, cider_d=0.5)"
    assert repr(texts["1"][0]).startswith("Sentence(text='a dog'") and "tensor" not in repr(texts)


def test_a_home_folder_and_a_device_are_understood(captioner, tmp_path, monkeypatch):
    """Also where no shell expands them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    captioner.save("~/runs/mine")
    assert (tmp_path / "runs" / "mine" / "config.json").is_file()
    model = build_model(tiny_options(Path("d"), Path("r")), captioner.language.vocabulary, "none")
    again = Captioner.from_run("~/runs/mine", model=model, device=torch.device("cpu"))
    saved(tmp_path / "dog.png", scene())
    assert again.caption("~/dog.png") == captioner.caption(tmp_path / "dog.png")
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "dog.npy", np.zeros((4, 8), np.float32))
    assert FeatureFolder("~/features").names == ["dog"]
    write_scenes(tmp_path / "scenes", train=1, val=1, held_out=1, size=16)
    assert load("~/scenes", images="~/scenes").split("val")
    with pytest.raises(UserError, match=f"{os.sep}nowhere"):
        Captioner.from_run("~/nowhere")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tmp_path / "features", "~")  # what has that name itself is meant
    assert FeatureFolder("~").path == Path("~")
