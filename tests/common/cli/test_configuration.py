"""`--config`: over the defaults, under the command line; what cannot be used is named."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from captioning.options import KIND, TrainOptions
from common.cli.command_line import parse_options
from common.errors import UserError

NEEDED = ("--data", "d", "--run-dir", "r")


def read(*arguments: object, options=TrainOptions, kind=KIND):
    return parse_options(options, [str(each) for each in arguments], prog="train", kind=kind)


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content, default=str))
    return path


def test_defaults_then_config_then_command_line(tmp_path):
    part = {
        "data": "there",
        "images": "pictures",
        "decoder": {"hidden_size": 64, "inject": ["every"]},
    }
    config = write(tmp_path / "part.json", part | {"training": {"epochs": 4, "seed": 5}})
    plain = read(*NEEDED)
    options = read("--run-dir", "r", "--seed", 6, "--config", config, "--no-normalize")
    assert (options.data, options.images) == ("there", Path("pictures"))
    assert (options.decoder.hidden_size, options.decoder.inject) == (64, ("every",))
    assert options.decoder.cell == plain.decoder.cell
    assert (options.training.epochs, options.training.seed) == (4, 6)
    assert not options.encoder.normalize and plain.encoder.normalize
    assert options.training.batch_size == plain.training.batch_size
    assert read(*NEEDED, "--config", config).data == "d"


def test_the_configuration_of_a_run_begins_another(tmp_path):
    first = read("--data", "d", "--run-dir", "old", "--overwrite", "--epochs", 3, "--top-k", 9)
    stored = {"format": 2, "kind": KIND, "config": asdict(first)}
    path = write(tmp_path / "config.json", stored)
    again = read("--config", path, "--run-dir", "new")
    assert (again.data, again.run_dir, again.overwrite) == ("d", Path("new"), False)
    assert again.training == first.training and again.search == first.search
    with pytest.raises(SystemExit):  # the old run's folder is not taken
        read("--config", path)
    with pytest.raises(UserError, match=r"config\.json is of a captioner, not of a tagger\.$"):
        read("--config", path, kind="tagger")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"warp": 1}, "unknown TrainOptions ['warp']"),
        ({"decoder": {"warp": 1}}, "unknown DecoderOptions ['warp']"),
        ({"decoder": 3}, "unknown DecoderOptions 3"),
        ([], "unknown TrainOptions []"),
        ({"decoder": {"cell": "warp"}}, 'cell cannot be "warp"'),
        ({"training": {"epochs": "3"}}, 'epochs cannot be "3"'),
        ({"training": {"epochs": 0}}, "epochs 0 is not at least 1"),
        ({"decoder": {"inject": ["in", 3]}}, 'inject cannot be ["in", 3]'),
        ({"config": {"training": {"threads": -1}}}, "threads -1 is not at least 1"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named_with_its_file(tmp_path, content, message):
    path = write(tmp_path / "mine.json", content)
    with pytest.raises(UserError) as refused:
        read(*NEEDED, "--config", path)
    assert str(refused.value).startswith(f"{path}: {message}") and "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_answered_with_the_presets(tmp_path):
    with pytest.raises(
        UserError, match="nowhere: there is no such file, and presets are flickr8k-"
    ):
        read(*NEEDED, "--config", "nowhere")
    (tmp_path / "cut.json").write_text("{")
    with pytest.raises(UserError, match="cut.json:1: not valid JSON"):
        read(*NEEDED, "--config", tmp_path / "cut.json")


def test_a_preset_is_named_by_either_option():
    by_config = read(*NEEDED, "--config", "tiny")
    assert read(*NEEDED, "--preset", "tiny") == read(*NEEDED, "--preset=tiny") == by_config
    assert (
        by_config.val_fraction == 0
        and read(*NEEDED, "--preset", "tiny", "--epochs", 7).training.epochs == 7
    )
    with pytest.raises(
        UserError, match="--config nosuch: there is no such file, and presets are .*tiny"
    ):
        read(*NEEDED, "--preset", "nosuch")
