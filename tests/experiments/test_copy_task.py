"""The library used in code alone."""

from __future__ import annotations

import pytest

from experiments import copy_task


@pytest.mark.numerical
def test_sequences_are_reversed(capsys: pytest.CaptureFixture[str]) -> None:
    assert copy_task.main() > 0.85  # 0.96 to 0.99 with every instruction set that was tried
    shown = capsys.readouterr().out.splitlines()
    assert "->" in shown[0] and "looked at" in shown[0] and "without a mistake" in shown[-1]
