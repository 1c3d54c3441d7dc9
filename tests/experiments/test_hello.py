"""The smallest network spells its word, and its table shows what it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import UserError
from common.training import session
from experiments.hello import Options, make_task


@pytest.mark.numerical
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_hell_is_continued_exactly(tmp_path, capsys, cell):
    training = replace(Options.training, device="cpu", threads=1)
    options = Options(run_dir=tmp_path / "run", cell=cell, training=training)
    metrics = session.train(options, make_task, "hello").metrics
    assert metrics["accuracy"] == 1.0 and metrics["baseline"] == 0.75
    assert "predicted" in capsys.readouterr().err
    assert (tmp_path / "run" / "probabilities-val.png").is_file()
    again = session.evaluate(tmp_path / "run", Options, make_task, "hello", device="cpu")
    assert again.metrics == pytest.approx(metrics)


def test_a_word_of_one_character_is_refused(tmp_path):
    with pytest.raises(UserError, match="at least two"):
        session.train(Options(run_dir=tmp_path / "run", word="a"), make_task, "hello")
