"""The presets are exactly these settings over the defaults; a captioner is trained by them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import captioning.options
import seq2seq.options
from common.cli.command_line import parse_options, presets
from common.config.plain import defaults, dotted
from common.synthetic.scenes import write_scenes
from tests.commands import run_module

FLICKR8K = {
    "text.min_count": 4,
    "decoder.deep_output": True,
    "decoder.embedding_dropout": 0.4,
    "search.no_repeat_ngram": 2,
    "training.epochs": 6,
    "training.batch_size": 96,
    "training.learning_rate": 1.5e-3,
    "training.schedule": "cosine",
    "training.warmup_steps": 200,
    "training.average_decay": 0.998,
    "training.patience": 3,
    "encoder.mirror": True,
}
MULTI30K = {
    "source": "de",
    "target": "en",
    "encoder.source_dropout": 0.2,
    "decoder.deep_output": True,
    "decoder.embedding_dropout": 0.2,
    "training.learning_rate": 1.5e-3,
    "training.schedule": "cosine",
    "training.warmup_steps": 200,
    "training.average_decay": 0.998,
    "training.clip_norm": 1.0,
    "training.patience": 6,
}
SUBWORDS = {
    "text.tokenizer": "subwords",
    "text.joint": True,
    "encoder.share_embeddings": True,
    "decoder.tie_embeddings": True,
}
PRESETS: dict[str, dict[str, Any]] = {
    "flickr8k-attention": FLICKR8K
    | {
        "run_dir": Path("runs/flickr8k-attention"),
        "encoder.image_size": 288,
        "decoder.inject": ("init",),
        "decoder.attention": "additive",
        "decoder.gate": True,
        "search.length_penalty": 0.8,
    },
    "flickr8k-context": FLICKR8K
    | {
        "run_dir": Path("runs/flickr8k-context"),
        "decoder.inject": ("init", "every", "output"),
        "search.length_penalty": 1.0,
    },
    "multi30k-attention": MULTI30K
    | SUBWORDS
    | {
        "run_dir": Path("runs/multi30k-attention"),
        "encoder.encoder_layers": 2,
        "decoder.query_word": True,
        "decoder.output_dropout": 0.4,
        "training.epochs": 16,
    },
    "multi30k-context": MULTI30K
    | SUBWORDS
    | {
        "run_dir": Path("runs/multi30k-context"),
        "encoder.encoder_size": 512,
        "encoder.summary": "max",
        "encoder.encoder_dropout": 0.2,
        "decoder.hidden_size": 640,
        "decoder.inject": ("init", "every", "output"),
        "decoder.attention": "none",
        "decoder.attention_size": 512,
        "decoder.word_dropout": 0.1,
        "decoder.output_dropout": 0.3,
        "training.epochs": 9,
    },
    "multi30k-small": MULTI30K
    | {
        "run_dir": Path("runs/multi30k-small"),
        "encoder.encoder_dropout": 0.2,
        "decoder.hidden_size": 256,
        "decoder.query_word": True,
        "decoder.output_dropout": 0.2,
        "training.epochs": 8,
        "training.batch_size": 80,
        "training.learning_rate": 2e-3,
    },
}


def options_of(preset: str) -> type[Any]:
    module = captioning.options if preset.startswith("flickr8k") else seq2seq.options
    return module.TrainOptions


def test_the_presets_are_these():
    shipped = presets(captioning.options.TrainOptions) | presets(seq2seq.options.TrainOptions)
    assert set(shipped) == {*PRESETS, "tiny"}  # which has tests of its own: in test_tiny.py


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_exactly_these_settings_over_the_defaults(preset):
    options = options_of(preset)
    read = parse_options(options, ["--config", preset, "--data", "d"], prog="train")
    usual = dict(dotted(defaults(options)))
    found = {name: value for name, value in dotted(asdict(read)) if usual.get(name, "d") != value}
    assert found == PRESETS[preset]


@pytest.mark.parametrize("model", ["attention", "context"])
def test_a_captioner_is_trained_by_a_preset_and_its_scores_printed(model, tmp_path):
    """Those of the translator: test_translate_multi30k.py."""
    write_scenes(tmp_path / "data", train=8, val=3, held_out=1, size=32)
    done = run_module(
        "experiments.caption_flickr8k", model, "--data", tmp_path / "data", "--weights", "none",
        "--run-dir", tmp_path / "run", "--cache-dir", tmp_path / "cache", "--epochs", 1, "--threads", 1,
        "--image-size", 64, "--memory-size", 8, "--vector-size", 8, "--attention-size", 8,
        "--embedding-size", 8, "--hidden-size", 16, "--min-count", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = [line.split()[0] for line in done.stdout.splitlines()]
    assert printed == ["bleu1", "bleu4", "rouge_l", "cider_d"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (config["decoder"]["attention"] == "none") == (model == "context")
    assert config["decoder"]["hidden_size"] == 16 and config["training"]["average_decay"] == 0.998
