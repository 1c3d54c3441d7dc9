"""The demo runs from end to end, and ends in one line where one of its trainings fails."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import UserError
from experiments.demo import Plan, make_data, run

ROOT = Path(__file__).resolve().parents[2]
TINY = Plan(
    scenes=60, scene_epochs=1, pairs=400, attention_epochs=1, context_epochs=1,
    tested=12, validated=4, device="cpu",
)  # fmt: skip


def test_the_demo_trains_all_three_and_shows_a_table(tmp_path, capfd) -> None:
    run(tmp_path, TINY)
    printed = capfd.readouterr()
    lines = printed.out.splitlines()
    for name in ("captioning: true", "  with attention", "  from the context", "  CPU minutes"):
        assert any(line.startswith(name) for line in lines), printed.out
    assert sum("this will take about" in line for line in lines) == 1
    assert "epoch" not in printed.out + printed.err  # what a training prints is in its log
    assert "epoch 1" in (tmp_path / "logs" / "captioner.log").read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary) == {"captioning", "translation", "cost"}
    assert {"exact_match_attention", "exact_match_context"} < set(summary["translation"])
    assert summary["cost"]["cpu_minutes"] > 0 and summary["cost"]["precision"]
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"new-scenes.png", "attention-new-combinations.png", "alignments.png"} <= pictures


def test_data_of_an_earlier_demo_are_replaced_and_other_files_are_not(tmp_path) -> None:
    make_data(tmp_path, replace(TINY, scenes=8, pairs=20))
    make_data(tmp_path, replace(TINY, scenes=9, pairs=30))
    lines = (tmp_path / "scenes" / "scenes.jsonl").read_text().splitlines()
    assert sum('"split": "train"' in line for line in lines) == 9
    (tmp_path / "mine" / "scenes").mkdir(parents=True)
    (tmp_path / "mine" / "scenes" / "notes.txt").write_text("not a data set")
    with pytest.raises(UserError, match="other files"):
        make_data(tmp_path / "mine", TINY)
    assert (tmp_path / "mine" / "scenes" / "notes.txt").is_file()


def test_a_failure_of_one_training_is_the_demos_one_line(tmp_path) -> None:
    (tmp_path / "captioning").mkdir(parents=True)
    (tmp_path / "captioning" / "notes.txt").write_text("not a run")
    with pytest.raises(UserError, match="^captioner: .*captioning") as caught:
        run(tmp_path, TINY)
    assert "\n" not in str(caught.value)


def test_help_does_not_train_and_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['demo', '--help']\n"
        "from experiments import demo\n"
        "try:\n    demo.main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--folder" in done.stdout and "this will take" not in done.stdout
