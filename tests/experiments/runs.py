"""What the tests of the experiments ask of their runs."""

from __future__ import annotations

from pathlib import Path

import torch


def assert_same_weights(*runs: Path) -> None:
    """Two trainings ended with the same weights, to the bit."""
    one, other = (torch.load(run / "training.pt", weights_only=True)["model"] for run in runs)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
