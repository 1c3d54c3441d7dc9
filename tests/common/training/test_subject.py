"""Each evaluation has files of its own, which say what it was of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from common.errors import UserError
from common.training.session import Subject


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def test_what_training_evaluates_is_called_as_its_split(own: Path, monkeypatch) -> None:
    assert Subject("val", own, own).name == "val"
    assert Subject("val").name == "val"  # data that an experiment makes
    monkeypatch.chdir(own)
    assert Subject("val", own, Path()).name == "val"


def test_data_that_were_moved_are_the_same_and_others_of_that_name_are_not(own: Path) -> None:
    elsewhere = own.parent / "elsewhere" / "own"
    elsewhere.mkdir(parents=True)
    assert Subject("val", own, own.parent).name == f"{own.parent.name}-val"
    assert Subject("val", own, elsewhere).name == "elsewhere-own-val"
    own.rmdir()
    assert Subject("val", own, elsewhere).name == "val"


def test_all_that_was_done_otherwise_is_named_and_recorded(own: Path) -> None:
    subject = Subject(
        "test", own, own, (Path("runs/a"), Path("runs/b")),
        changed={"tok": "zh", "beam_size": 1},
    )  # fmt: skip
    assert subject.name == "test-ensemble-a-b-beam_size-1-tok-zh"
    assert subject.to_dict() == {"data": str(own), "ensemble": ["runs/a", "runs/b"]}


def test_data_are_found_where_they_are_named_or_where_they_were(own: Path) -> None:
    run = Path("run")
    options = SimpleNamespace(data=str(own))
    assert Subject.of_run(run, "val", options).data == own
    elsewhere = Subject.of_run(run, "val", options, "other", changed={"n": 1})
    assert (elsewhere.data, elsewhere.name) == (Path("other"), "other-val-n-1")
    with pytest.raises(UserError, match=r"gone, the data of run, is not in .*--data"):
        Subject.of_run(run, "val", SimpleNamespace(data="gone"))
