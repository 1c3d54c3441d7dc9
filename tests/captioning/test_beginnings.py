"""Captioners that go on by their folder alone, and that begin with the weights of another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from captioning import Captioner
from captioning.backbone import Backbone
from captioning.options import EncoderOptions, TrainOptions
from captioning.train import evaluate_run, make_task, train
from common.errors import UserError
from common.runs.kept import Kept
from common.runs.run import Run
from common.runs.weights import read_weights
from common.text.vocabulary import Vocabulary
from common.training.beginning import begin_from
from common.training.task import Task
from tests.captioning.test_captioner import tiny_options
from tests.captioning.test_train import write_pictures
from tests.commands import run_here

ROWS = ("decoder.embedding.weight", "decoder.output.weight", "decoder.output.bias")
CAPTIONS = {"red": "a red thing stands alone", "blue": "a large blue sea"}


def once(data: Path, run: Path, **changes) -> TrainOptions:
    options = tiny_options(data, run, shown_images=0, **changes)
    return replace(options, training=replace(options.training, epochs=1))


def begun(options: TrainOptions) -> Task:
    """A new training before its first step."""
    assert options.init_from is not None
    task = make_task(options, Kept(), torch.device("cpu"))
    print(begin_from(Run.open(options.init_from), task, options))
    task.model.eval()
    return task


def still(options: TrainOptions) -> TrainOptions:
    """Without learning: what a run begins with is what it ends with."""
    return replace(options, training=replace(options.training, learning_rate=0.0))


def best(run: Path) -> dict[str, torch.Tensor]:
    return read_weights(run / "model.safetensors")


def last(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "training.pt", weights_only=True)["model"]


def different(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    assert one.keys() == other.keys()
    return {name for name in one if not torch.equal(one[name], other[name])}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    captions = {"red": "a red thing", "blue": "a blue one"}
    return write_pictures(tmp_path_factory.mktemp("data") / "colours", captions, copies=8)


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    train(once(data, data.parent / "run"))
    return data.parent / "run"


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "own", CAPTIONS, copies=4)


@pytest.fixture(scope="module")
def frozen(data: Path) -> Path:
    """A run on a frozen network, whose file of weights is there no more."""
    weights = data.parent / "weights.pth"
    torch.save(Backbone("squeezenet1_1").network.state_dict(), weights)
    encoder = EncoderOptions(
        encoder="squeezenet1_1", weights=str(weights), image_size=64, memory_size=8, vector_size=8
    )
    train(once(data, data.parent / "frozen", encoder=encoder))
    weights.unlink()
    return data.parent / "frozen"


def test_a_run_goes_on_by_its_folder_alone_at_the_command_line_and_in_code(data, run, tmp_path):
    whole = tiny_options(data, tmp_path / "whole", shown_images=0)
    train(whole)
    part, copy = (Path(shutil.copytree(run, tmp_path / name)) for name in ("part", "copy"))
    done = run_here("captioning", "train", "--run-dir", part, "--resume", "--epochs", 2)
    assert done.returncode == 0, done.stderr
    train(replace(TrainOptions.of_run(copy), training=whole.training))
    assert not different(last(part), last(tmp_path / "whole"))
    assert not different(last(copy), last(tmp_path / "whole"))
    refused = run_here("captioning", "train", "--run-dir", copy, "--resume", "--min-count", 2)
    assert refused.returncode == 1 and refused.stderr.startswith("error: --min-count 2: ")
    assert refused.stderr.count("\n") == 1


def test_it_captions_as_the_run_it_begins_with(data, run, tmp_path, capsys):
    task = begun(once(data, tmp_path / "new", init_from=run))
    said = capsys.readouterr().out
    assert f"begins with the weights of {run}: encoder, decoder (9 of 9 rows of decoder.emb" in said
    assert not different(task.model.state_dict(), best(run))
    ours, theirs = task.evaluate(task.model, "val").metrics, evaluate_run(run, device="cpu").metrics
    assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_words_that_both_know_keep_their_rows(own, run, tmp_path, capsys):
    train(once(own, tmp_path / "new", init_from=run))
    assert "(8 of 12 rows of decoder.embedding, decoder.output; the oth" in capsys.readouterr().err
    ours = begun(once(own, tmp_path / "new", init_from=run)).model.state_dict()
    theirs = best(run)
    assert {name for name in ours if ours[name].shape != theirs[name].shape} == set(ROWS)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name not in ROWS)
    here, there = (
        Vocabulary.load(each / "vocabulary.json").tokens for each in (tmp_path / "new", run)
    )
    for token in set(here) & set(there):
        for name in ROWS:
            assert torch.equal(ours[name][here.index(token)], theirs[name][there.index(token)])
    assert Captioner.from_run(tmp_path / "new", device="cpu").caption([next(own.glob("*.png"))])


def test_a_frozen_network_is_learnt_after_the_decoder(data, frozen, tmp_path, capsys):
    """Its weights are those of the run; the file that they were read from is not needed."""
    done = run_here(
        "captioning", "train", "--data", data, "--run-dir", tmp_path / "tuned", "--init-from", frozen,
        "--fine-tune-from", 1, "--epochs", 1, "--max-length", 12, "--encoder-learning-rate", 0.01,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"begins with the weights of {frozen}: encoder, decoder" in done.stderr
    learnt = {n for n in different(last(tmp_path / "tuned"), best(frozen)) if ".cnn." in n}
    stage = Backbone("squeezenet1_1").stages[-1]
    assert learnt and all(n.startswith(f"encoder.cnn.network.{stage}.") for n in learnt)
    again = still(TrainOptions.of_run(tmp_path / "tuned"))
    again = replace(again, resume=False, run_dir=tmp_path / "again", init_from=frozen)
    train(replace(again, encoder=replace(again.encoder, encoder_learning_rate=0.0)))
    assert not different(last(tmp_path / "again"), best(frozen))
    # And back: frozen again, with features of what was learnt.
    tuned = TrainOptions.of_run(tmp_path / "tuned")
    frozen_again = replace(tuned.encoder, fine_tune_from=None)
    train(
        still(
            replace(
                tuned, resume=False, run_dir=tmp_path / "back", init_from=tmp_path / "tuned",
                encoder=frozen_again,
            )
        )
    )  # fmt: skip
    found = [evaluate_run(tmp_path / n, device="cpu").metrics for n in ("back", "tuned")]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-5)


def test_parts_are_taken_alone(own, run, frozen, data, tmp_path, capsys):
    alone = once(own, tmp_path / "encoder", init_from=run, init_parts=("encoder",))
    task = begun(replace(alone, decoder=replace(alone.decoder, hidden_size=24)))
    assert "encoder; decoder begins anew (--init-parts)" in capsys.readouterr().out
    ours = task.model.state_dict()
    assert all(torch.equal(ours[n], t) for n, t in best(run).items() if n.startswith("encoder."))
    # The decoder on another encoder, of the same sizes: here of features that were computed before.
    names = sorted(path.name for path in data.glob("*.png"))
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "names.txt").write_text("\n".join(names))
    features = np.random.default_rng(0).normal(size=(len(names), 4, 6)).astype("f4")
    np.save(tmp_path / "features" / "features.npy", features)
    done = run_here(
        "captioning", "train", "--data", data, "--run-dir", tmp_path / "decoder", "--init-from", run,
        "--init-parts", "decoder", "--features", tmp_path / "features", "--memory-size", 16,
        "--vector-size", 16, "--epochs", 1, "--learning-rate", 0, "--max-length", 12,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "decoder (9 of 9 rows" in done.stderr and "encoder begins anew" in done.stderr
    ours = best(tmp_path / "decoder")
    assert all(torch.equal(ours[n], t) for n, t in best(run).items() if n.startswith("decoder."))


def test_it_goes_on_without_the_run_it_began_with(own, run, tmp_path):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    for name, epochs in (("whole", 2), ("part", 1)):
        options = once(own, tmp_path / name, init_from=other)
        train(replace(options, training=replace(options.training, epochs=epochs)))
    shutil.rmtree(other)
    done = run_here(
        "captioning", "train", "--run-dir", tmp_path / "part", "--resume", "--epochs", 2
    )
    assert done.returncode == 0, done.stderr
    assert not different(last(tmp_path / "part"), last(tmp_path / "whole"))
    config = json.loads((tmp_path / "part" / "config.json").read_text())["config"]
    assert config["init_from"] == str(other) and config["init_parts"] == []


def test_what_does_not_fit_is_refused_in_one_line(data, run, frozen, tmp_path):
    command = ("captioning", "train", "--data", data, "--run-dir", tmp_path / "new", "--init-from")
    for typed, told in (
        ((run, "--hidden-size", 24), ["it has another", "--hidden-size is 32 there and 24 here."]),
        ((frozen, "--encoder", "small"), ['--encoder is "squeezenet1_1" there and "small" here.']),
        (
            (run, "--init-parts", "cnn"),
            ["--init-parts cnn: the parts of this model are encoder, dec"],
        ),
        ((data,), ["--init-from: ", "is not a run folder: it has no config.json."]),
    ):
        refused = run_here(*command, *typed)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        line = refused.stderr.splitlines()[-1]
        told = [each.replace("it has another", f"{run} has another") for each in told]
        assert line.startswith("error: ") and all(each in line for each in told), line
    assert not (tmp_path / "new").exists()
    with pytest.raises(
        UserError, match="vocabulary.json is not the file that this run was trained wi"
    ):
        changed = Path(shutil.copytree(run, tmp_path / "changed"))
        text = (changed / "vocabulary.json").read_text()
        (changed / "vocabulary.json").write_text(text.replace("thing", "things"))
        train(once(data, tmp_path / "new", init_from=changed))
