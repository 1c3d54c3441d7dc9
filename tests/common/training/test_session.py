"""A session takes any task to a run: here one of neither words nor pictures, with a loss over points."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import nn

from common.config.changes import MAY_CHANGE
from common.config.marks import Metavar
from common.errors import UserError
from common.runs.kept import Kept
from common.runs.lock import NAME
from common.runs.run import Run
from common.text.labels import Labels
from common.training import session
from common.training.loss import Loss
from common.training.options import RunOptions, TrainingOptions
from common.training.task import Evaluation, Task
from tests.commands import ROOT

KIND = "line"


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    data: Annotated[str | None, MAY_CHANGE, Metavar("DIR")] = None
    slope: float = 2.0
    width: int = 4


class Line(nn.Module):
    """A network of one hidden layer that is fitted to a line."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Dropout(0.1), nn.Linear(width, 1)
        )

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> Loss:
        x, y = batch
        error = self.layers(x) - y
        count = torch.tensor(float(error.numel()))
        return Loss(error.pow(2).mean(), count, {"mean_absolute_error": error.abs().sum().detach()})


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    if options.slope > 100:
        raise UserError("--slope is too steep.")
    labels = kept.get("labels.json", Labels, lambda: Labels(["x", "y"]))
    model = Line(options.width * len(labels)).to(device)

    def batches(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        kept.same("data.json", {"slope": options.slope})
        x = torch.linspace(-1, 1, 40).roll(epoch).view(4, 10, 1)
        return [(each, options.slope * each) for each in x]

    def evaluate(model: nn.Module, split: str, *, scale: float = 1.0) -> Evaluation:
        x = torch.tensor([[0.25], [0.5]])
        error = (model.layers(x) - options.slope * x).abs().mean()
        return Evaluation(
            {"error": float(error) * scale},
            signatures={"error": "mean absolute"},
            files={"points.csv": f"{split}\n"},
            show=lambda tracker: tracker.text("points", "two"),
        )

    return Task(
        model=model, optimizer=options.training.make_optimizer(model), batches=batches,
        evaluate=evaluate, monitor="error", mode="min", unit="points",
    )  # fmt: skip


def options(folder: Path, epochs: int = 4, **changes) -> Options:
    training = TrainingOptions(epochs=epochs, learning_rate=0.05, device="cpu", precision="fp32")
    return Options(run_dir=folder, training=training, **changes)


def train(folder: Path, epochs: int = 4, **changes) -> Evaluation:
    return session.train(options(folder, epochs, **changes), make_task, KIND)


def test_a_run_of_any_task_is_trained_and_evaluated(tmp_path):
    trained = train(tmp_path / "run", epochs=40)
    assert trained.metrics["error"] < 0.2
    run = tmp_path / "run"
    stored = json.loads((run / "config.json").read_text())
    assert stored["kind"] == KIND and stored["config"]["slope"] == 2.0
    assert json.loads((run / "labels.json").read_text()) == ["x", "y"]
    written = json.loads((run / "evaluation-val.json").read_text())
    assert written["error"] == trained.metrics["error"]
    assert written["signatures"] == {"error": "mean absolute"}
    assert (run / "points-val.csv").read_text() == "val\n"

    again = session.evaluate(run, Options, make_task, KIND, "test", device="cpu")
    assert again.metrics == trained.metrics
    doubled = session.evaluate(
        run, Options, make_task, KIND, "test", changed={"scale": 2}, device="cpu", scale=2.0
    )
    assert doubled.metrics["error"] == pytest.approx(2 * trained.metrics["error"])
    names = {path.name for path in run.iterdir()}
    assert {"evaluation-test.json", "points-test-scale-2.csv"} <= names
    assert names == {*(run / "files.txt").read_text().split()}  # it knows all that it wrote


def test_nothing_is_logged_under_a_name_that_it_is_not(tmp_path):
    train(tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    names = {name for line in lines for name in line}
    assert {"train/mean_absolute_error", "speed/points_per_second", "validation/error"} <= names
    assert not any(word in name for name in names for word in ("token", "perplexity", "nll"))


def test_tensorboard_compares_runs_by_what_decides_what_is_learnt(tmp_path):
    train(tmp_path / "run")
    shown = EventAccumulator(str(tmp_path / "run")).Reload()
    content = shown.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = HParamsPluginData.FromString(content).session_start_info
    assert {"slope", "width", "training.learning_rate", "training.epochs"} <= set(start.hparams)
    left_out = {"run_dir", "resume", "overwrite", "training.device", "training.threads"}
    assert not left_out & set(start.hparams)
    names = {"1 scores and loss/error", "1 scores and loss/training loss", "(best)/error"}
    assert names <= set(shown.Tags()["scalars"])
    assert "_hparams_/experiment" not in shown.Tags()["tensors"], "that of one run hides the others"
    (layout,) = shown.Tensors("custom_scalars__config__")
    assert b"points per second" in layout.tensor_proto.string_val[0]


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "part", epochs=2)
    train(tmp_path / "part", resume=True)
    first, second = (
        torch.load(tmp_path / name / "training.pt", weights_only=True)["model"]
        for name in ("whole", "part")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_may_not_change_and_what_must_be_the_same(tmp_path):
    train(tmp_path / "run", epochs=1)
    with pytest.raises(UserError, match="was started with slope = 2.0, not 3.0"):
        train(tmp_path / "run", slope=3.0, resume=True)
    train(tmp_path / "run", data=str(tmp_path), resume=True)  # data may lie elsewhere now
    (tmp_path / "run" / "labels.json").write_text('["y", "x"]')
    with pytest.raises(
        UserError, match="labels.json is not the file that this run was trained with"
    ):
        session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")


def test_refusals_come_before_the_folder_is_touched(tmp_path):
    with pytest.raises(UserError, match="too steep"):
        train(tmp_path / "run", slope=101.0)
    assert not (tmp_path / "run").exists()
    train(tmp_path / "run", epochs=1)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="too steep"):
        train(tmp_path / "run", slope=101.0, overwrite=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_overwriting_leaves_nothing_of_the_run_before_and_all_that_is_not_its_own(tmp_path):
    train(tmp_path / "run", epochs=1)
    (tmp_path / "run" / "mine.csv").write_text("mine")

    def other(options: Options, kept: Kept, device: torch.device) -> Task:
        task = make_task(options, Kept(), device)
        return replace(task, evaluate=lambda model, split: Evaluation({"error": 1.0}))

    session.train(options(tmp_path / "run", 1, overwrite=True), other, "another")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not left & {"labels.json", "points-val.csv"} and "mine.csv" in left


def test_a_run_without_its_training_state_is_not_begun_anew(tmp_path):
    """training.pt is the largest file: the one that a copy leaves out."""
    train(tmp_path / "run", epochs=1)
    (tmp_path / "run" / "training.pt").unlink()
    before = {
        path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.*") if path.is_file()
    }
    with pytest.raises(UserError, match="has weights, but no training.pt to resume from"):
        train(tmp_path / "run", resume=True)
    after = {
        path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.*") if path.is_file()
    }
    assert after == before


def test_a_run_that_has_weights_has_a_state_to_resume_from(tmp_path, monkeypatch):
    """Killed right after its first weights were written, it goes on as if it had not been."""
    train(tmp_path / "whole", epochs=2)
    saved = Run.save_model

    def killed(run: Run, model: nn.Module) -> None:
        saved(run, model)
        raise KeyboardInterrupt("killed")

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "save_model", killed)
        train(tmp_path / "part", epochs=2)
    assert (tmp_path / "part" / "model.safetensors").is_file()
    train(tmp_path / "part", epochs=2, resume=True)
    whole, part = (
        torch.load(tmp_path / name / "training.pt", weights_only=True)["model"]
        for name in ("whole", "part")
    )
    assert all(torch.equal(whole[name], part[name]) for name in whole)


def test_figures_are_given_before_they_are_written(tmp_path):
    """As the folder of a run may be of another user, or the disk full."""
    train(tmp_path / "run", epochs=1)
    for written in [*(tmp_path / "run").glob("evaluation-*")]:
        written.unlink()
        written.mkdir()  # as root may write anywhere, a folder is what stands in the way
    given: list[Evaluation] = []
    with pytest.raises(OSError, match="evaluation-val.json"):
        session.evaluate(
            tmp_path / "run", Options, make_task, KIND, device="cpu", on_evaluated=given.append
        )
    assert given[0].metrics["error"] >= 0
    with pytest.raises(OSError, match="evaluation-val.json"):
        options_again = options(tmp_path / "run", 2, resume=True)
        session.train(options_again, make_task, KIND, on_evaluated=given.append)
    assert len(given) == 2


def test_a_run_knows_its_files_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "here" / "data").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    session.train(options(Path("run"), 1, data="data"), make_task, KIND)
    config = json.loads(Path("run/config.json").read_text())
    assert config["config"]["data"] == str(tmp_path / "here" / "data")
    assert config["made_by"]["folder"] == str(tmp_path / "here")
    config["config"]["data"] = "data"  # as earlier versions kept it
    Path("run/config.json").write_text(json.dumps(config))
    session.train(options(Path("run"), 2, data="data", resume=True), make_task, KIND)
    monkeypatch.chdir(tmp_path / "there")
    session.evaluate(Path("../here/run"), Options, make_task, KIND, device="cpu")
    session.train(
        options(Path("../here/run"), 3, data="../here/data", resume=True), make_task, KIND
    )


def test_a_run_in_training_is_refused_before_anything_is_read(tmp_path):
    train(tmp_path / "run", epochs=1)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline()
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(UserError, match=f"being trained by process {holder.pid}"):
                session.train(options(tmp_path / "run", 2, **how), never, KIND)
        session.evaluate(tmp_path / "run", Options, make_task, KIND, device="cpu")
    finally:
        holder.kill()
        holder.wait()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    train(tmp_path / "run", epochs=2, resume=True)
    assert not (tmp_path / "run" / NAME).exists()


HOLDER = """
import sys, time
from pathlib import Path
from common.runs.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def never(*arguments):
    raise AssertionError("it is refused before")


@pytest.mark.parametrize("moved", [True, False])
def test_a_folder_that_is_moved_or_deleted_meanwhile_is_made_again(tmp_path, capsys, moved):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"

    def away(options: Options, kept: Kept, device: torch.device) -> Task:
        task, validations = make_task(options, kept, device), iter(range(9))

        def evaluate(model: nn.Module, split: str) -> Evaluation:
            if next(validations) == 1:
                shutil.move(run, elsewhere) if moved else shutil.rmtree(run)
            return task.evaluate(model, split)

        return replace(task, evaluate=evaluate)

    train(tmp_path / "whole", epochs=5)
    train(run, epochs=1)
    found = session.train(options(run, resume=True), away, KIND)
    assert "was moved or deleted while it was trained in" in capsys.readouterr().err
    again = session.evaluate(run, Options, make_task, KIND, device="cpu")
    assert again.metrics == found.metrics
    train(run, epochs=5, resume=True)
    weights = [torch.load(each / "training.pt")["model"] for each in (run, tmp_path / "whole")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    if moved:  # which goes on too, from the last state that was saved there
        train(elsewhere, epochs=5, resume=True)
        steps = [json.loads(line)["step"] for line in (elsewhere / "metrics.jsonl").open()]
        assert steps == sorted(steps) and steps[-1] == 20
