"""Batches are made by spawned processes as well: nothing in a data set is a lambda or a closure."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from captioning.backbone import Backbone
from captioning.examples import CaptionExamples
from captioning.features import cached_features
from captioning.inputs import feature_inputs, pixel_inputs
from captioning.transform import ImageTransform
from common.compute.device import map_tensors
from seq2seq.examples import TranslationExamples

SENTENCES = [[4, 5], [6], [7, 8, 9]]


def translation(epoch: int):
    return TranslationExamples(SENTENCES, SENTENCES[::-1]).batches(epoch, batch_size=2)


def captioned(inputs, epoch: int):
    examples = CaptionExamples(SENTENCES, [0, 1, 1], inputs, mirror=[True] * 3)
    return examples.batches(epoch, batch_size=2, seed=1)


@pytest.fixture(scope="module")
def cached(tmp_path_factory) -> partial:
    folder: Path = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        Image.new("RGB", (32, 32), (80 * number, 10, 90)).save(path)
    cache, _ = cached_features(
        folder / "cache", paths, Backbone("mobilenet_v2"), ImageTransform(32), mirror=True
    )
    return partial(feature_inputs, cache, np.array([0, 1]))


@pytest.mark.parametrize("kind", ["translation", "pixels", "features"])
def test_a_spawned_worker_makes_the_same_batches(kind, cached):
    pixels = partial(pixel_inputs, torch.randint(0, 255, (2, 3, 8, 8), dtype=torch.uint8))
    batches = {
        "translation": translation,
        "pixels": partial(captioned, pixels),
        "features": partial(captioned, cached),
    }[kind](0)
    here = [batches[number] for number in range(len(batches))]
    copied = pickle.loads(pickle.dumps(batches))
    assert_same(here, [copied[number] for number in range(len(copied))])
    if kind == "features":  # one is enough: a process takes seconds to start
        loader = DataLoader(
            batches, batch_size=None, num_workers=1, multiprocessing_context="spawn"
        )
        assert_same(here, list(loader))


def assert_same(one: list, other: list) -> None:
    def tensors(batches: list) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        map_tensors(batches, lambda tensor: found.append(tensor) or tensor)
        return found

    assert len(one) == len(other) > 1
    for a, b in zip(tensors(one), tensors(other), strict=True):
        assert torch.equal(a, b)
