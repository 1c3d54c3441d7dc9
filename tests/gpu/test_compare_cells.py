"""A training of a comparison of cells, on the GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.training import session
from experiments.compare_cells import Options, make_task


@pytest.mark.parametrize("cell", ["GRU", "minGRU", "LEM"])
@pytest.mark.parametrize("task", ["sum", "reverse"])
def test_a_training(device, tmp_path: Path, task, cell):
    training = replace(Options.training, epochs=1, batch_size=1000, device=str(device))
    run = Options(run_dir=tmp_path, task=task, cell=cell, weights=8000, training=training)
    found = session.train(run, make_task, "compare_cells").metrics
    on_the_cpu = session.evaluate(tmp_path, Options, make_task, "compare_cells", device="cpu")
    assert on_the_cpu.metrics == pytest.approx(found, rel=1e-3)
