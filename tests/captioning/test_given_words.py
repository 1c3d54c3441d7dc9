"""Captions that begin as they are told to, and the score of given captions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from captioning import Captioner
from captioning.data import load
from captioning.images import ImageError
from captioning.train import train
from common.decoding import BeamSearch, Greedy, Sampling
from common.errors import UserError
from common.synthetic.scenes import write_scenes
from tests.captioning.test_captioner import tiny_options
from tests.commands import run_here
from tests.tolerances import same_log_probability


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(folder, train=12, val=5, held_out=2, size=32)
    return folder


@pytest.fixture(scope="module")
def run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_options(scenes, folder, shown_images=0))
    return folder


@pytest.fixture
def captioner(run) -> Captioner:
    return Captioner.from_run(run, device="cpu")


@pytest.fixture(scope="module")
def pictures(scenes) -> list[Path]:
    return [image.path for image in load(scenes).split("val")]


@pytest.mark.parametrize(
    "search", [Greedy(), BeamSearch(beam_size=3, n_best=2), Sampling(num_samples=2)], ids=repr
)
def test_every_caption_begins_with_the_prefix(captioner, pictures, search):
    how = {"prefix": "a Red", "generator": torch.Generator().manual_seed(0)}
    for best in captioner.captions(pictures, search, batch_size=2, keep_attention=True, **how):
        for each in best:
            assert each.text.startswith("a red")
            assert len(each.attention) - len(each.tokens) in (0, 1)
    own = [["a red", "", "zebra two", "two", "a"][n % 5] for n in range(len(pictures))]
    texts = captioner.caption(pictures, batch_size=2, prefix=own)
    for text, prefix, path in zip(texts, own, pictures, strict=True):
        assert text.startswith(prefix)
        assert captioner.caption([path], prefix=[prefix]) == [text]
    with pytest.raises(ValueError, match="prefix has 1 texts"):
        captioner.caption(pictures, prefix=["a"])


def test_bounds_of_each_caption_are_those_of_its_picture_in_any_batch(captioner, pictures):
    lengths = [2 + n for n in range(len(pictures))]
    found = captioner.captions(
        pictures, Greedy(), batch_size=2, min_length=lengths, max_length=lengths
    )
    assert [len(best[0].tokens) for best in found] == lengths


def test_the_score_of_a_caption_is_that_of_the_search_alone_and_in_any_batch(captioner, pictures):
    captioner.model.double()
    found = captioner.captions(pictures, BeamSearch(beam_size=3, n_best=2), max_length=40)
    pairs = [(path, each) for path, best in zip(pictures, found, strict=True) for each in best]
    scores = captioner.score(
        [path for path, _ in pairs], [each.text for _, each in pairs], batch_size=3
    )
    for (path, written), score in zip(pairs, scores, strict=True):
        (alone,) = captioner.score([path], [written.text])
        same = same_log_probability(score.log_probability, terms=100)
        assert alone.log_probability == same and score.tokens == written.tokens
        if len(written.tokens) < 40:
            assert written.log_probability == same


def test_what_cannot_be_scored_is_refused(captioner, pictures, tmp_path):
    with pytest.raises(ValueError, match="2 texts to be scored for 1 images"):
        captioner.score(pictures[:1], ["a", "b"])
    for images in (str(pictures[0]), pictures[0]):
        with pytest.raises(TypeError, match="a list of images and a list of texts"):
            captioner.score(images, ["a"])
    with pytest.raises(ImageError, match="none"):
        captioner.score([tmp_path / "none.png"], ["a"])
    with pytest.raises(UserError, match="at most 5,000"):
        captioner.score(pictures[:1], ["a " * 6000])


def test_at_the_command_line(run, captioner, pictures, tmp_path):
    done = run_here("captioning", "caption", run, pictures[0].parent, "--prefix", "a zebra")
    assert done.returncode == 0 and "--prefix: 'zebra': not in the vocabulary" in done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines and all(text.startswith("a zebra") for _, text in lines)

    (tmp_path / "captions").write_text(done.stdout)
    scored = run_here("captioning", "logprob", run, tmp_path / "captions")
    assert scored.returncode == 0, scored.stderr
    expected = captioner.score([path for path, _ in lines], [text for _, text in lines])
    assert [float(line.split("\t")[0]) for line in scored.stdout.splitlines()] == pytest.approx(
        [each.log_probability for each in expected], abs=1e-3
    )
    assert f"{len(lines)} tokens are not in the vocabulary" in scored.stderr
    for text, message in (("a dog\n", "captions:1: no picture, tab and caption"),
                          ("none.png\ta dog\n", "none.png")):  # fmt: skip
        (tmp_path / "captions").write_text(text)
        done = run_here("captioning", "logprob", run, tmp_path / "captions")
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
