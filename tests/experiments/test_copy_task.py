"""The library used in code alone."""

from __future__ import annotations

import pytest

from experiments import copy_task


@pytest.mark.numerical
def test_short_sequences_are_reversed(capsys: pytest.CaptureFixture[str]) -> None:
    assert copy_task.main(count=3000, epochs=6, size=32) > 0.8
    shown = capsys.readouterr().out.splitlines()
    assert "->" in shown[0] and "looked at" in shown[0] and "without a mistake" in shown[-1]
