"""What an encoder is called with: trained, evaluated and used on features that others computed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from captioning import Captioner
from captioning.backbone import Backbone
from captioning.data import CaptionData, CaptionedImage, load
from captioning.encoder import ImageEncoder
from captioning.evaluation import overlaid
from captioning.features import FeatureFolder, cached_features
from captioning.inputs import make_inputs, open_features
from captioning.options import EncoderOptions, TrainOptions
from captioning.train import train
from captioning.transform import ImageTransform
from common.decoding import BeamSearch, Context, Greedy, RecurrentDecoder
from common.errors import UserError
from common.evaluation.heat_map import heat_map
from common.evaluation.sheet import MARGIN
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.sentence import Sentence
from common.synthetic.scenes import write_scenes
from common.text.language import Language
from common.text.tokenizer import WordTokenizer
from common.text.vocabulary import Vocabulary
from tests.commands import run_here
from tests.common.evaluation.drawn import where
from tests.tolerances import same_log_probability

SIZES = ["--min-count", 1, "--memory-size", 8, "--vector-size", 8, "--embedding-size", 8,
         "--hidden-size", 16, "--attention-size", 8, "--beam-size", 2, "--max-length", 8,
         "--batch-size", 20, "--shown-images", 2, "--epochs", 1]  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(folder, train=12, val=4, held_out=2, size=32)
    return folder


@pytest.fixture(scope="module")
def images(scenes: Path) -> list[CaptionedImage]:
    return [image for images in load(scenes).splits.values() for image in images]


def regions_of(image: CaptionedImage, rows: int = 3, columns: int = 2) -> np.ndarray:
    """The mean colours of a grid over a picture, and where they are: (S, 5)."""
    with Image.open(image.path) as file:
        small = file.convert("RGB").resize((columns, rows), Image.Resampling.BOX)
    places = np.stack(np.indices((rows, columns)), 2)
    return np.concatenate([np.asarray(small) / 255, places], 2).reshape(-1, 5).astype(np.float32)


def as_array(folder: Path, images: list[CaptionedImage]) -> None:
    np.save(folder / "features.npy", np.stack([regions_of(image) for image in images]))
    (folder / "names.txt").write_text("".join(f"{image.id}\n" for image in images))


def as_files(folder: Path, images: list[CaptionedImage]) -> None:
    """As many regions as an image's number tells: one to six."""
    for number, image in enumerate(images):
        path = (folder / image.id).with_suffix(".npy")
        path.parent.mkdir(exist_ok=True)
        np.save(path, regions_of(image)[: 1 + number % 6])


def as_vectors(folder: Path, images: list[CaptionedImage]) -> None:
    np.save(folder / "features.npy", np.stack([regions_of(image).mean(0) for image in images]))
    (folder / "names.txt").write_text("".join(f"{image.id}\n" for image in images))


def command(*arguments: object) -> str:
    done = run_here("captioning", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*arguments: object) -> str:
    done = run_here("captioning", *arguments)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("write", [as_array, as_files, as_vectors])
def test_a_run_on_features_is_trained_resumed_evaluated_and_used(
    scenes, images, tmp_path, write
) -> None:
    run, there, moved = tmp_path / "run", tmp_path / "features", tmp_path / "moved"
    there.mkdir()
    write(there, images)
    training = ["--data", scenes, "--run-dir", run, *SIZES]
    training += ["--attention", "none" if write is as_vectors else "additive"]
    command("train", *training, "--features", there)
    assert not any("cnn" in name for name in Captioner.from_run(run).model.state_dict())

    there.rename(moved)
    assert "no such folder of features" in refused("evaluate", run)
    command("evaluate", run, "--features", moved)
    command("train", *training, "--features", moved, "--resume", "--epochs", 2)
    command("train", "--run-dir", run, "--resume", "--epochs", 3)  # by its own features
    again = TrainOptions.of_run(run)
    with pytest.raises(UserError, match="trained on 5 features"):
        train(replace(again, encoder=replace(again.encoder, features=None)))
    lines = (run / "captions-val.jsonl").read_text().splitlines()
    expected = {line["image"]: line["caption"] for line in map(json.loads, lines)}
    pictures = {image.id: image.path for image in load(scenes).split("val")}
    assert "trained on features" in refused("caption", run, *pictures.values())
    sheet = ["--picture", tmp_path / "sheet.png"]
    sheet += [] if write is as_vectors else ["--attention"]
    printed = command("caption", run, *pictures.values(), "--features", moved, *sheet)
    for (name, path), line in zip(pictures.items(), printed.splitlines(), strict=True):
        assert line == f"{path}\t{expected[name]}"
    assert Image.open(tmp_path / "sheet.png").width > 50


def test_an_image_of_few_regions_gets_the_same_caption_alone_and_in_a_batch(
    scenes, images, tmp_path
) -> None:
    as_files(tmp_path, images)
    command("train", "--data", scenes, "--run-dir", tmp_path / "run", *SIZES,
            "--features", tmp_path, "--attention", "additive", "--coverage", 1)  # fmt: skip
    captioner = Captioner.from_run(tmp_path / "run", device="cpu", features=tmp_path)
    captioner.model.double()
    paths = [image.path for image in images[:6]]
    search = BeamSearch(beam_size=3, n_best=2, max_length=6)
    (padded, mask) = captioner.inputs(paths)
    assert mask.sum(1).tolist() == [1, 2, 3, 4, 5, 6]
    for path, best in zip(paths, captioner.captions(paths, search), strict=True):
        (alone,) = captioner.captions([path], search)
        assert [each.tokens for each in alone] == [each.tokens for each in best]
        for one, other in zip(alone, best, strict=True):
            assert one.log_probability == same_log_probability(
                other.log_probability, terms=len(captioner.language.vocabulary) + 41
            )
    weights = captioner.model.attention_weights((padded, mask), [[4]] * 6)
    assert all((row[:, ~real] == 0).all() for row, real in zip(weights, mask, strict=True))


@pytest.mark.parametrize("mirror", [False, True])
def test_a_cache_that_is_read_as_features_gives_the_same_losses(images, tmp_path, mirror) -> None:
    torch.manual_seed(0)
    backbone, transform = Backbone("squeezenet1_1"), ImageTransform(64)
    paths = [image.path for image in images]
    cache, _ = cached_features(
        tmp_path, paths, backbone, transform, names=[image.id for image in images], mirror=mirror
    )
    shutil.copytree(cache.path, tmp_path / "elsewhere")
    theirs = ImageEncoder(feature_size=512, memory_size=6, vector_size=6)
    ours = ImageEncoder(backbone, memory_size=6, vector_size=6)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    decoder = RecurrentDecoder(9, 4, 8, 6, memory_size=6, attention="additive")
    losses = []
    for encoder, folder in ((ours, None), (theirs, FeatureFolder(tmp_path / "elsewhere"))):
        inputs, kept = make_inputs(
            [encoder], transform, images, cache_dir=tmp_path, features=folder, mirror=mirror
        )
        assert kept == images
        given = inputs(np.array([3, 0, 5]), np.array([True, False, True]) & mirror)
        batch = Batch.collate(given, [[4, 5], [6], [7, 8]])
        losses.append(EncoderDecoder(encoder, decoder).loss(batch).value.item())
    assert losses[0] == losses[1]
    assert len(list(tmp_path.glob("squeezenet*"))) == 1  # nothing was computed again


def test_images_without_features_are_left_out_up_to_a_limit(images, tmp_path, capsys) -> None:
    as_files(tmp_path, images)
    absent, broken = (tmp_path / images[k].id for k in (1, 2))
    absent.with_suffix(".npy").unlink()
    broken.with_suffix(".npy").write_bytes(b"broken")
    encoder = ImageEncoder(feature_size=5)

    def usable(limit: float) -> list[CaptionedImage]:
        return make_inputs(
            [encoder], ImageTransform(32), images,
            cache_dir=tmp_path, features=FeatureFolder(tmp_path), max_damaged=limit,
        )[1]  # fmt: skip

    assert usable(0.2) == [images[0], *images[3:]]
    shown = capsys.readouterr().err
    assert f"no features of {images[1].id}" in shown
    assert f"{broken.with_suffix('.npy')} cannot be read as an array" in shown
    with pytest.raises(UserError, match="2 of 18 pictures are damaged.*--max-problems"):
        usable(0.05)


def test_a_damaged_picture_of_a_small_split_is_one_of_all_pictures(
    scenes, images, tmp_path, capsys
) -> None:
    as_files(tmp_path, images)
    val, train = (load(scenes).split(split) for split in ("val", "train"))
    (tmp_path / val[1].id).with_suffix(".npy").unlink()
    training = ["--data", scenes, *SIZES, "--features", tmp_path, "--attention", "additive"]
    run = ["--run-dir", tmp_path / "run"]
    command("train", *training, *run, "--max-problems", 0.1)  # 1 of 4, but 1 of 18 in all
    command("evaluate", tmp_path / "run")
    # What is damaged in other splits counts too.
    (tmp_path / train[3].id).with_suffix(".npy").unlink()
    other = [*training, "--run-dir", tmp_path / "other"]
    assert "2 of 18 pictures are damaged (11.1%)" in refused("train", *other, "--max-problems", 0.1)
    for image in val:
        (tmp_path / image.id).with_suffix(".npy").unlink(missing_ok=True)
    assert "none of 4 pictures can be read" in refused("train", *other, "--max-problems", 1)


def test_what_is_cut_is_counted(scenes, images, tmp_path) -> None:
    as_files(tmp_path, images)
    training = ["--data", scenes, *SIZES, "--features", tmp_path, "--attention", "additive"]
    longest = {
        split: [len(text.split()) for image in load(scenes).split(split) for text in image.captions]
        for split in ("train", "val")
    }

    def said(words: int) -> list[str]:
        run = ["--run-dir", tmp_path / f"run-{words}", "--max-words", words]
        done = run_here("captioning", "train", *training, *run)
        assert done.returncode == 0
        return [line for line in done.stderr.splitlines() if "--max-words" in line]

    cut = {split: sum(count > 6 for count in counts) for split, counts in longest.items()}
    assert 0 < cut["val"] < len(longest["val"])
    assert said(6) == [
        f"val: {cut['val']} of {len(longest['val'])} captions are longer than 6 words and cut there "
        "(--max-words); for loss and perplexity alone",
        f"train: {cut['train']} of {len(longest['train'])} captions are longer than 6 words and cut "
        "there (--max-words)",
    ]
    assert said(99) == []


def test_features_that_do_not_fit_are_refused(images, tmp_path) -> None:
    (tmp_path / "vectors").mkdir()
    as_vectors(tmp_path / "vectors", images)
    folder = FeatureFolder(tmp_path / "vectors")

    def refuse(message: str, encoder: ImageEncoder, **options: bool) -> None:
        with pytest.raises(UserError, match=message):
            make_inputs(
                [encoder], ImageTransform(32), images,
                cache_dir=tmp_path, features=folder, **options,
            )  # fmt: skip

    refuse("of size 5, and the captioner takes 6", ImageEncoder(feature_size=6))
    refuse("one vector for each image, and attention", ImageEncoder(feature_size=5))
    refuse("no features of mirrored", ImageEncoder(feature_size=5, attention=False), mirror=True)


def test_two_images_do_not_share_features(tmp_path) -> None:
    np.save(tmp_path / "1.npy", np.ones((3, 5), np.float32))
    splits = {
        split: [CaptionedImage(f"{split}/1.jpg", Path(split, "1.jpg"), ["a"])]
        for split in ("train", "val")
    }
    options = EncoderOptions(features=tmp_path)
    with pytest.raises(UserError, match=r"one 1 for two images, train/1\.jpg and val/1\.jpg"):
        open_features(options, CaptionData("both", "csv", splits))
    del splits["val"]
    settled, folder = open_features(options, CaptionData("one", "csv", splits))
    assert settled == replace(options, feature_size=5) and folder is not None
    assert open_features(EncoderOptions(), CaptionData("one", "csv", splits))[1] is None


class TwoViews(nn.Module):
    """A user's own encoder: objects with a mask, and a vector of the whole picture."""

    def __init__(self) -> None:
        super().__init__()
        self.objects, self.whole = nn.Linear(5, 6), nn.Linear(7, 6)

    def forward(self, objects: Tensor, mask: Tensor, whole: Tensor) -> Context:
        return Context(self.whole(whole), self.objects(objects), mask)


def own_captioner() -> Captioner:
    torch.manual_seed(0)
    vocabulary = Vocabulary.build([["a", "red", "star"]])
    decoder = RecurrentDecoder(
        len(vocabulary), 4, 8, 6, memory_size=6, inject=("init",), attention="additive"
    )
    model = EncoderDecoder(TwoViews(), decoder).double()
    return Captioner(model, ImageTransform(32), Language(WordTokenizer(), vocabulary))


def test_an_encoder_of_ones_own_is_called_with_whatever_it_takes() -> None:
    captioner = own_captioner()
    objects = torch.randn(2, 4, 5, dtype=torch.double)
    whole = torch.randn(2, 7, dtype=torch.double)
    mask = torch.tensor([[True] * 4, [True, False, False, False]])
    search = Greedy(max_length=5)
    together = captioner.describe((objects, mask, whole), search, keep_attention=True)
    assert (together[1][0].attention[:, 1:] == 0).all()
    for row, (best,) in enumerate(together):
        one = slice(row, row + 1)
        ((alone,),) = captioner.describe((objects[one], mask[one], whole[one]), search)
        assert alone.tokens == best.tokens
    changed = objects.masked_fill(~mask.unsqueeze(2), 9.0)
    assert captioner.describe((changed, mask, whole), search) == together


def looking(positions: int, at: int) -> Sentence:
    """A caption of one word, written while a single position was looked at."""
    weights = torch.nn.functional.one_hot(torch.tensor([at, at]), positions).float()
    return Sentence("a", ["a"], 0.0, 0.0, weights)


def lit(sheet: Image.Image) -> tuple[float, float]:
    """Where the second picture of a sheet is brightest: from its left and its top, in 0..1."""
    pixels = np.asarray(sheet, int)
    left, top, right, bottom = where(sheet, (60, 60, 60))  # the first
    picture = pixels[top:bottom, right + MARGIN : 2 * right + MARGIN - left].sum(2)
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    return column / picture.shape[1], row / picture.shape[0]


def test_attention_is_drawn_on_the_grid_and_the_regions_that_are_named() -> None:
    picture = Image.new("RGB", (96, 96), (60, 60, 60))
    # A token for the whole picture, then a grid of two rows and three columns.
    sheet = overlaid(picture, looking(7, at=3), grid=(2, 3), regions=slice(1, None))
    x, y = lit(sheet)  # region 2: the first row, the last column
    assert x > 0.66 and y < 0.5
    sheet = overlaid(picture, looking(7, at=5), grid=(3, 2), regions=slice(0, 6))
    x, y = lit(sheet)  # region 5: the last row, the last column
    assert x > 0.5 and y > 0.66
    squares = overlaid(picture, looking(10, at=4), regions=slice(1, None))
    x, y = lit(squares)  # region 3 of a square: the second row, the first column
    assert x < 0.34 and 0.33 < y < 0.67


def test_regions_without_a_grid_are_shown_as_a_table() -> None:
    picture = Image.new("RGB", (96, 96), (60, 60, 60))
    caption = looking(7, at=2)
    table = heat_map(caption.attention, ["a", "."], [*"1234567"], heading={"caption": "a"})
    assert np.array_equal(overlaid(picture, caption), table)
