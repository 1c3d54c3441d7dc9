"""Fixtures of the translator's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq.train import train
from tests.seq2seq.tiny import tiny_options, write_pairs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "numbers"
    for name, count, seed in (("train", 300, 0), ("val", 20, 1), ("test", 12, 2)):
        write_pairs(folder, name, count, seed)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_options(data, folder))
    return folder
