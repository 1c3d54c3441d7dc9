"""Every cell at equal parameters: all train, what is finished is kept, and the table has all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import get_args
from unittest import mock

import pytest

from common.errors import UserError
from common.models.sizes import largest_size, number_of_weights
from common.recurrent.names import CellName
from common.synthetic.sequences import TASKS
from common.training import session
from experiments.compare_cells import CELLS, Comparison, Options, build, compare, make_task
from experiments.parallel import trainings

CPU = replace(Options.training, epochs=1, batch_size=1000, device="cpu")


def test_every_cell_is_compared():
    assert {*get_args(CellName)} <= {*filter(lambda each: isinstance(each, str), CELLS.values())}


@pytest.mark.parametrize("cell", CELLS)
def test_all_have_nearly_as_many_weights(cell):
    size = largest_size(partial(build, cell, 50), 30_000)
    assert 29_000 < number_of_weights(build(cell, 50, size)) <= 30_000
    assert number_of_weights(build(cell, 50, size + 1)) > 30_000


@pytest.mark.numerical
@pytest.mark.parametrize("task", TASKS)
def test_a_training_of_each_task(tmp_path, task):
    options = Options(
        run_dir=tmp_path / "run", task=task, cell="minGRU", weights=8000, training=CPU
    )
    found = session.train(options, make_task, "compare_cells")
    assert found.recorded["weights"] <= 8000 and found.metrics["loss"] > 0
    again = session.evaluate(tmp_path / "run", Options, make_task, "compare_cells", device="cpu")
    assert again.metrics == pytest.approx(found.metrics)


def in_this_process(jobs, *_: object, **__: object) -> None:
    for job in jobs:
        job.function(lambda fraction: None, *job.arguments)


def test_what_is_finished_is_not_repeated(tmp_path, capsys):
    """In a process of its own; again, one of two trainings being left; and again, none being left."""
    chosen = Comparison(folder=tmp_path, epochs=1, weights=8000, device="cpu")
    two = {name: CELLS[name] for name in ("SimpleRNN", "minGRU")}
    found = tmp_path / "reverse-simplernn-0" / "found.json"
    with mock.patch.dict(CELLS, two, clear=True):
        compare(chosen)
        first = capsys.readouterr().out.splitlines()[1:]
        assert {"cells.txt", "cells.png"} <= {path.name for path in tmp_path.iterdir()}
        assert list(tmp_path.glob("events.*"))
        assert json.loads(found.read_text())["milliseconds"] > 0

        found.unlink()  # as if it had been killed when all was learnt
        with mock.patch.object(trainings, "run_side_by_side", in_this_process):
            compare(chosen)
        assert json.loads(found.read_text())["milliseconds"] is None
        second = capsys.readouterr().out.splitlines()
        assert [line.split()[:-1] for line in second] == [line.split()[:-1] for line in first]

        with mock.patch.object(trainings, "run_side_by_side", side_effect=AssertionError):
            compare(chosen)
        with pytest.raises(UserError, match="was started with weights = 8000, not 9000"):
            compare(replace(chosen, weights=9000))


def test_too_few_weights_are_refused(tmp_path):
    options = Options(run_dir=tmp_path / "run", weights=100, training=CPU)
    with pytest.raises(UserError, match="100 weights are too few"):
        session.train(options, make_task, "compare_cells")
