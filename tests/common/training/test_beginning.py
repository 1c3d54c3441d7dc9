"""A run that begins with the weights of another is a run like any other from its first step on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.errors import UserError
from common.runs.weights import read_weights
from common.training import session
from tests.common.training.test_session import KIND, Options, make_task, options, train


def state(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "training.pt", weights_only=True)["model"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "origin"
    train(folder, epochs=20)
    return folder


def test_it_is_as_good_as_the_other_was_and_then_learns(origin, tmp_path, capsys):
    still = options(tmp_path / "still", 1, init_from=origin)
    still = replace(still, training=replace(still.training, learning_rate=0.0))
    found = session.train(still, make_task, KIND)
    assert f"begins with the weights of {origin}: layers" in capsys.readouterr().err
    assert same(state(tmp_path / "still"), read_weights(origin / "model.safetensors"))
    written = json.loads((origin / "evaluation-val.json").read_text())
    assert found.metrics["error"] == written["error"]
    train(tmp_path / "run", epochs=20, init_from=origin)
    assert not same(state(tmp_path / "run"), state(tmp_path / "still"))


def test_it_goes_on_bit_for_bit_without_the_other(origin, tmp_path):
    other = Path(shutil.copytree(origin, tmp_path / "other"))
    train(tmp_path / "whole", epochs=3, init_from=other)
    train(tmp_path / "part", epochs=1, init_from=other)
    shutil.rmtree(other)
    begun = Options.of_run(tmp_path / "part", KIND)
    assert begun.init_from == other
    session.train(replace(begun, training=replace(begun.training, epochs=3)), make_task, KIND)
    assert same(state(tmp_path / "whole"), state(tmp_path / "part"))
    assert not same(state(tmp_path / "whole"), read_weights(origin / "model.safetensors"))
    session.evaluate(tmp_path / "part", Options, make_task, KIND, device="cpu")


def test_what_does_not_fit_is_refused_before_the_folder_is_made(origin, tmp_path):
    for changes, message in (
        (
            {"width": 5},
            r"has another architecture: layers.0.weight is \(8, 1\) there and \(10, 1\) here",
        ),
        (
            {"width": 5, "slope": 3.0},
            r"--slope is 2\.0 there and 3\.0 here\. --width is 4 there and 5 here",
        ),
        ({"init_parts": ("head",)}, "--init-parts head: the parts of this model are layers"),
    ):
        with pytest.raises(UserError, match=message):
            train(tmp_path / "run", init_from=origin, **changes)
    for other in (tmp_path / "none", origin.parent):
        with pytest.raises(UserError, match=f"^--init-from: {other} "):
            train(tmp_path / "run", init_from=other)
    bare = Path(shutil.copytree(origin, tmp_path / "bare"))
    (bare / "model.safetensors").unlink()
    with pytest.raises(UserError, match="^--init-from: .*bare has no weights yet"):
        train(tmp_path / "run", init_from=bare)
    (bare / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(UserError, match="bare/model.safetensors is damaged"):
        train(tmp_path / "run", init_from=bare)
    assert not (tmp_path / "run").exists()
    before = state(origin)
    with pytest.raises(UserError, match="is the folder of the new run too"):
        train(origin, init_from=origin, overwrite=True)
    assert same(state(origin), before)


def test_a_run_that_goes_on_is_told_where_its_data_are(tmp_path):
    (tmp_path / "data").mkdir()
    train(tmp_path / "run", epochs=1, data=str(tmp_path / "data"))
    (tmp_path / "data").rename(tmp_path / "moved")
    begun = Options.of_run(tmp_path / "run")
    with pytest.raises(
        UserError, match=r"data, the data of .*run, is no longer there\. Say where: --da"
    ):
        session.train(begun, make_task, KIND)
    session.train(replace(begun, data=str(tmp_path / "moved")), make_task, KIND)
    assert Options.of_run(tmp_path / "run").data == str(tmp_path / "moved")
