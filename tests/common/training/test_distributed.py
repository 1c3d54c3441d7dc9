from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from common.training.distributed import World, world_of_torchrun
from tests.tolerances import assert_same_sums

SCRIPT = """
import pathlib, runpy, sys
from functools import partial
import torch
from common.runs.run import Run
from common.training.tracking import Tracker
from common.training.distributed import world_of_torchrun
toy = runpy.run_path({toy!r})
folder = pathlib.Path({folder!r})

def train(name, **options):
    with_run = Run.create(folder / name, "toy", {{}}, resume=True) if world.rank == 0 else None
    world.from_first(None)  # until the folder is there
    run = with_run or Run.open(folder / name)
    reported = run.path if world.rank == 0 else None
    tracker = Tracker(reported, tensorboard=False, progress=False)
    trainer = toy["trainer"](run=run, world=world, tracker=tracker, **options)
    if world.rank:  # whatever else a process begins with
        for parameter in trainer.model.parameters():
            parameter.data.zero_()
    progress = trainer.fit()
    torch.save(trainer.model.state_dict(), folder / f"{{name}}-{{world.rank}}.pt")
    return progress

with world_of_torchrun() as (world, device):
    assert (world.size, device.type) == (2, "cpu")
    assert world.gather(world.rank) == [0, 1]
    train("whole")
    train("halves", max_epochs=1)
    train("halves")
    train("like-one", random=False, monitor=None)
    series = {{"random": False, "make": toy["ToyForecaster"], "monitor": None, "unit": "points"}}
    train("series", batches=toy["series"], **series)
    # The second process never has a batch.
    train("one-batch", batches=lambda epoch: toy["series"](epoch)[:1], **series)
    series["make"] = partial(toy["ToyForecaster"], named=False)
    train("unnamed", batches=toy["series"], **series)
if sys.platform == "linux":  # a thread of the group that outlived it could abort the process
    tasks = pathlib.Path("/proc/self/task").iterdir()
    assert not [task for task in tasks if "gloo" in (task / "comm").read_text()]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """What two processes made."""
    return run_two(SCRIPT, tmp_path_factory.mktemp("processes"))


def run_two(script: str, folder: Path) -> Path:
    """Run a script in two processes, started as `torchrun` starts them; the folder that it wrote to."""
    script = script.format(toy=str(Path(__file__).with_name("conftest.py")), folder=str(folder))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=Path(__file__).resolve().parents[3],
            env={
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "CUDA_VISIBLE_DEVICES": "",
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        assert [process.wait(timeout=240) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return folder


def load(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def test_all_processes_have_the_same_weights(trained):
    for name in ("whole", "halves", "like-one", "series", "one-batch", "unnamed"):
        one, other = load(trained / f"{name}-0.pt"), load(trained / f"{name}-1.pt")
        for key in one:
            assert torch.equal(one[key], other[key]), key


def test_a_resumed_training_is_the_uninterrupted_one(trained):
    """Dropout and the batches draw from the generators of each process."""
    one, other = load(trained / "whole-0.pt"), load(trained / "halves-0.pt")
    for key in one:
        assert torch.equal(one[key], other[key]), key


def test_two_processes_train_as_one_that_accumulates(trained, toy):
    trainer = toy.trainer(accumulate=2, random=False, monitor=None)
    initial = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.fit()
    found = load(trained / "like-one-0.pt")
    expected = {name: parameter.data for name, parameter in trainer.model.named_parameters()}
    assert any((expected[name] - start).norm() > 0.1 for name, start in initial.items())
    # In every update sums over the features, the words and a batch of sentences, there and back.
    terms = trainer.progress.step * 2 * (3 * 8 + 12 + 6 * 9)
    assert_same_sums({name: found[name] for name in expected}, expected, terms=terms)


@pytest.mark.parametrize("name", ["series", "one-batch", "unnamed"])
def test_whatever_the_loss_is_a_mean_over(trained, toy, tmp_path, name):
    """Batches of unlike numbers of points, and a last group with no batch for the second process."""
    trainer = toy.trainer(
        tmp_path / "run", accumulate=2, random=False, monitor=None, unit="points",
        make=partial(toy.Forecaster, name != "unnamed"),
        batches=lambda epoch: toy.series(epoch)[: 1 if name == "one-batch" else None],
    )  # fmt: skip
    before = trainer.model.output.weight.detach().clone()
    trainer.fit()
    found = load(trained / f"{name}-0.pt")
    assert (found["output.weight"] - before).norm() > 0.05
    terms = trainer.progress.step * 2 * (3 * 8 + 11 + 4 * 11)
    assert_same_sums(found, dict(trainer.model.state_dict()), terms=terms)
    reports = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (trained / name, tmp_path / "run")
    ]
    for one, other in zip(*reports, strict=True):
        assert one.keys() == other.keys()
        assert ("train/mean_absolute_error" in one) <= (name != "unnamed")
        for figure in (name for name in other if name.startswith("train/")):
            assert_same_sums(one[figure], other[figure], terms=terms)


def test_alone_everything_is_free():
    world = World()
    tensors = [torch.ones(2), torch.zeros(3)]
    world.add_up(tensors)
    world.copy_from_first(torch.nn.Linear(2, 2))
    assert tensors[0].tolist() == [1, 1] and world.from_first("x") == "x"
    assert world.gather(3) == [3]
    with world_of_torchrun() as (found, device):
        assert found == World() and device.type in ("cpu", "cuda")
        assert not torch.distributed.is_initialized()


COMPILED = """
import pathlib, runpy
import torch
from common.training import compilation
from common.training.distributed import world_of_torchrun
compilation.BACKEND = "eager"
toy = runpy.run_path({toy!r})
with world_of_torchrun() as (world, device):
    for compile in (False, True):
        trainer = toy["trainer"](
            world=world, random=False, monitor=None, max_epochs=1, compile=compile
        )
        trainer.fit()
        assert not compile or trainer.update.compilation.works
        path = pathlib.Path({folder!r}) / f"{{compile}}-{{world.rank}}.pt"
        torch.save(trainer.model.state_dict(), path)
"""


@pytest.mark.compiler
def test_two_processes_compile_what_they_train(tmp_path):
    run_two(COMPILED, tmp_path)
    plain, first, second = (
        load(tmp_path / name) for name in ("False-0.pt", "True-0.pt", "True-1.pt")
    )
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
        torch.testing.assert_close(value, plain[key], rtol=1e-3, atol=1e-5)
