"""The captioner's command lines on a GPU: trained, resumed, evaluated and used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioning import Captioner
from captioning.backbone import Backbone
from captioning.data import load
from captioning.features import FeatureFolder, cached_features
from captioning.transform import ImageTransform
from common.decoding import Sampling
from common.errors import UserError
from common.synthetic.scenes import write_scenes
from tests.gpu.commands import command, options

TINY = {
    "min_count": 1, "image_size": 32, "memory_size": 8, "vector_size": 8, "weights": "none",
    "embedding_size": 8, "hidden_size": 16, "attention_size": 8, "beam_size": 3, "max_length": 10,
    "batch_size": 16, "shown_images": 2, "encoder": "small",
}  # fmt: skip
# Together: a network that is learnt, one that is fine-tuned, one whose features are computed once,
# features of a folder, padded; pictures mirrored; attention at both places, and none.
CAPTIONERS: dict[str, dict[str, Any]] = {
    "small": {"attention": "additive", "gate": True, "coverage": 1.0, "deep_output": True},
    "vector": {"attention": "none", "inject": "first", "cell": "lstm"},
    "cached": {
        "encoder": "mobilenet_v2", "attention": "general", "attend": "after", "mirror": True,
        "teacher_forcing_ratio": 0.5,
    },
    "cached vector": {"encoder": "mobilenet_v2", "attention": "none", "inject": "init every"},
    "fine-tuned": {
        "encoder": "mobilenet_v2", "fine_tune_from": 1, "attention": "concat", "query_word": True,
        "mirror": True, "average_decay": 0.9,
    },
    "features": {"features": "FOLDER", "attention": "additive", "coverage": 1.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(folder, train=8, val=4, held_out=3, size=32)
    return folder


@pytest.fixture(scope="module")
def pictures(data) -> list[Path]:
    return [image.path for image in load(data).split("val")]


@pytest.fixture(scope="module")
def features(data, tmp_path_factory) -> Path:
    """Of one to four regions of each picture."""
    folder = tmp_path_factory.mktemp("features")
    images = [image for images in load(data).splits.values() for image in images]
    for number, image in enumerate(images):
        (folder / image.id).parent.mkdir(exist_ok=True)
        values = np.random.default_rng(number).standard_normal((1 + number % 4, 5))
        np.save(folder / f"{image.id}.npy", values.astype(np.float32))
    return folder


def train(data: Path, run: Path, device: Any, **changes: Any) -> None:
    values = TINY | {"cache_dir": run.parent / "cache", "epochs": 2} | changes
    command("captioning", "train", options(data=data, run_dir=run, device=device, **values))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", CAPTIONERS)
def test_a_captioner(device, data, pictures, features, tmp_path, capsys, kind, precision):
    run, choices = tmp_path / "run", CAPTIONERS[kind] | {"precision": precision}
    folder = {"features": features} if "features" in choices else {}
    choices |= folder
    train(data, run, device, epochs=1, **choices)
    train(data, run, device, **choices, resume=True)
    assert "resuming after step" in capsys.readouterr().err
    scored = options(split="val", device=device, search_precision=precision)
    command("captioning", "evaluate", run, scored)
    assert "bleu4" in capsys.readouterr().out
    for written in run.glob("evaluation-val*.json"):
        assert json.loads(written.read_text())["bleu4"] >= 0

    looks = choices["attention"] != "none"
    more = options(picture=tmp_path / "sheet.png", device=device, **folder) + looks * " --attention"
    command("captioning", "caption", run, *pictures, more)
    assert len(capsys.readouterr().out.splitlines()) == len(pictures)
    assert Image.open(tmp_path / "sheet.png").width > 50

    here = Captioner.from_run(run, device="cpu", **folder)
    there = Captioner.from_run(run, device=str(device), **folder)
    plain = {"precision": "fp32"}
    assert here.caption(pictures, **plain) == there.caption(pictures, **plain)
    begun = there.caption(pictures, prefix="a red", precision=precision)
    assert all(text.startswith("a red") for text in begun)
    scores = [each.score(pictures, begun) for each in (here, there)]
    for one, other in zip(*scores, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)
    if looks:
        weights = there.attention(pictures[0], ["a", "red"])
        assert weights.device.type == "cpu" and weights.dtype == torch.float32


def test_a_network_is_fine_tuned_after_the_decoder(device, data, tmp_path, capsys):
    kind = {"encoder": "mobilenet_v2", "attention": "additive", "epochs": 1}
    train(data, tmp_path / "frozen", device, **kind)
    new = {"run_dir": tmp_path / "tuned", "init_from": tmp_path / "frozen", "fine_tune_from": 1}
    how = {"data": data, "device": device, "epochs": 1, "cache_dir": tmp_path / "cache"}
    command("captioning", "train", options(**new, **how, encoder_learning_rate=0, learning_rate=0))
    assert "begins with the weights of" in capsys.readouterr().err
    ours, theirs = (
        Captioner.from_run(tmp_path / n, device=str(device)).model for n in ("tuned", "frozen")
    )
    for name, tensor in ours.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_an_ensemble(device, data, pictures, tmp_path, capsys):
    for seed in (0, 1):
        train(data, tmp_path / f"run{seed}", device, seed=seed, epochs=1, attention="additive")
    first, second = tmp_path / "run0", tmp_path / "run1"
    more = options(ensemble=second, device=device)
    command("captioning", "evaluate", first, more)
    sheet = options(picture=tmp_path / "sheet.png", attention=True)
    command("captioning", "caption", first, *pictures, more, sheet)
    assert Image.open(tmp_path / "sheet.png").width > 50
    found = Captioner.from_run(first, second, device=str(device))
    drawn = found.model.generate(
        *(each.to(device) for each in found.inputs(pictures)),
        search=Sampling(num_samples=3, max_length=5),
    )  # fmt: skip
    assert len(drawn) == len(pictures)


def build(
    folder: Path, pictures: list[Path], device: torch.device, **changes: Any
) -> FeatureFolder:
    torch.manual_seed(0)
    backbone = Backbone("mobilenet_v2").to(device)
    return cached_features(folder, pictures, backbone, ImageTransform(32), **changes)[0]


@pytest.mark.parametrize("grid", [True, False])
def test_features_are_those_of_the_cpu(device, pictures, tmp_path, grid):
    rows = range(len(pictures))
    here = build(tmp_path / "here", pictures, torch.device("cpu"), grid=grid, mirror=True)
    there = build(tmp_path / "there", pictures, device, grid=grid, mirror=True)
    flipped = [True] * len(pictures)
    torch.testing.assert_close(here.read(rows, flipped)[0], there.read(rows, flipped)[0])


def test_a_cache_serves_both_devices(device, pictures, tmp_path):
    """float32 is float32 everywhere, TensorFloat-32 never."""
    folder = build(tmp_path, pictures, device).path
    assert build(tmp_path, pictures, torch.device("cpu")).path == folder


def test_a_lack_of_memory_names_the_batch(device, pictures, tmp_path, monkeypatch):
    def failing(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Backbone, "forward", failing)
    with pytest.raises(UserError, match=f"out of memory with a batch of {len(pictures)}"):
        build(tmp_path, pictures, device)
