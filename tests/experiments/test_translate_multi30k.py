"""The presets of the Multi30k experiment train, evaluate, and print what the README shows."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import translate_multi30k
from tests.commands import run_module

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "cats": "katzen"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multi30k")
    generator = random.Random(0)
    for split, count in (("train", 64), ("val", 6), ("test_2016_flickr", 4)):
        english = [generator.choices(list(WORDS), k=3) for _ in range(count)]
        german = [[WORDS[word] for word in words] for words in english]
        for language, sentences in (("en", english), ("de", german)):
            lines = "".join(" ".join(words) + "\n" for words in sentences)
            (folder / f"{split}.{language}").write_text(lines)
    return folder


def test_every_evaluation_runs_on_the_device_that_is_named(monkeypatch):
    evaluation, devices = SimpleNamespace(signatures={}, metrics={}), []
    splits = SimpleNamespace(splits=["test_2016_flickr"])
    monkeypatch.setattr("seq2seq.train.load_data", lambda options: splits)
    monkeypatch.setattr(
        "seq2seq.train.train", lambda options: devices.append(options.training.device) or evaluation
    )
    monkeypatch.setattr(
        "seq2seq.train.evaluate_run",
        lambda *a, device="auto": devices.append(device) or evaluation,
    )
    monkeypatch.setattr("sys.argv", ["x", "small", "--data", "x", "--device", "cuda:1"])
    translate_multi30k.main()
    assert devices == ["cuda:1", "cuda:1"]


@pytest.mark.parametrize("preset", ["small", "attention", "context"])
def test_a_preset_trains_and_prints_both_splits(data, tmp_path, preset):
    arguments = [preset, "--data", data, "--source", "en", "--target", "de", "--run-dir"]
    arguments += [tmp_path / "run", "--cache-dir", tmp_path / "cache", "--epochs", 1]
    arguments += ["--vocabulary-size", 60, "--min-count", 1]
    done = run_module("experiments.translate_multi30k", *arguments)
    assert done.returncode == 0, done.stderr
    for split in ("val", "test_2016_flickr"):
        assert any(line.startswith(split) and "tok:13a" in line for line in done.stdout.split("\n"))
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (config["decoder"]["attention"] == "none") == (preset == "context")
    if preset != "small":  # one is enough of what follows
        return
    again = run_module(
        "experiments.translate_multi30k", preset, "--run-dir", tmp_path / "run", "--resume"
    )
    assert again.returncode == 0, again.stderr  # data, languages and tokens are those of the run
    assert "goes on with its own settings, and not with those of --config" in again.stderr
    assert again.stdout == done.stdout
