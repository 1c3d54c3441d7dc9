"""Splits without reference translations: translated, and neither learnt from nor scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError
from seq2seq.data import load
from seq2seq.train import train
from tests.commands import run_here
from tests.seq2seq.tiny import tiny_options

PAIRS = {"train": 4, "val": 2, "test": 3}


def lines(folder: Path) -> None:
    for split, count in PAIRS.items():
        (folder / f"{split}.en").write_text("one two\n" * count)
        if split != "test":
            (folder / f"{split}.de").write_text("eins zwei\n" * count)


def empty_lines(folder: Path) -> None:
    lines(folder)
    (folder / "test.de").write_text("\n" * PAIRS["test"])


def json_lines(folder: Path) -> None:
    for split, count in PAIRS.items():
        record = {"id": "x", "en": "one two"} | ({} if split == "test" else {"de": "eins zwei"})
        (folder / f"{split}.jsonl").write_text((json.dumps(record) + "\n") * count)


def json_nulls(folder: Path) -> None:
    for split, count in PAIRS.items():
        both = {"en": "one two", "de": None if split == "test" else "eins zwei"}
        text = json.dumps({"translation": both})
        (folder / f"{split}.jsonl").write_text(f"{text}\n" * count)


def tables(folder: Path) -> None:
    for split, count in PAIRS.items():
        header, row = ("id,en", "1,one two") if split == "test" else ("en,de", "one two,eins zwei")
        (folder / f"{split}.csv").write_text(f"{header}\n" + f"{row}\n" * count)


def a_table(folder: Path) -> None:
    rows = [
        f"one two,{'' if split == 'test' else 'eins zwei'},{split}"
        for split, count in PAIRS.items()
        for _ in range(count)
    ]
    (folder / "pairs.csv").write_text("\n".join(["en,de,split", *rows]))


FORMATS = [lines, empty_lines, json_lines, json_nulls, tables, a_table]


@pytest.mark.parametrize("write", FORMATS, ids=lambda each: each.__name__)
def test_a_split_without_targets_is_there_without_any(write: Callable, tmp_path: Path) -> None:
    write(tmp_path)
    data = load(tmp_path, source="en", target="de")
    assert {name: len(text) for name, text in data.splits.items()} == PAIRS
    assert not data.problems and "test: no sentence has a reference translation" in data.notes
    assert [tuple(pair) for pair in data.split("test")] == [("one two", "")] * 3
    assert data.translated("val")
    with pytest.raises(UserError, match=r"\Athe 3 sentences of test in .* no translations[^\n]*\Z"):
        data.translated("test")


def test_a_pair_without_a_target_among_others_is_damage(tmp_path: Path) -> None:
    """And targets by another name are no blind test."""
    json_lines(tmp_path)
    (tmp_path / "test.jsonl").write_text('{"en": "one"}\n{"en": "two", "de": "zwei"}\n')
    data = load(tmp_path, source="en", target="de", max_problems=1)
    assert data.problems == ['test.jsonl:1: no text "de"'] and len(data.split("test")) == 1
    (tmp_path / "test.jsonl").write_text('{"en": "one", "fr": "un"}\n' * 10)
    with pytest.raises(UserError, match='10 of 16 pairs are damaged.*no text "de"'):
        load(tmp_path, source="en", target="de")


def test_other_sources_are_no_splits(tmp_path: Path) -> None:
    """Of a second file of a split, of training, and of no split."""
    lines(tmp_path)
    for name in ("mono", "dev", "train2"):
        (tmp_path / f"{name}.en").write_text("one\n")
    assert {"train", "val", "test"} <= load(tmp_path, source="en", target="de").splits.keys()
    assert "mono" not in load(tmp_path, source="en", target="de").splits
    assert len(load(tmp_path, source="en", target="de").split("val")) == PAIRS["val"]


def test_a_blind_split_gets_translations_and_no_scores(run, data, tmp_path):
    """In the folder of the training, and alone in another."""
    blind = shutil.copytree(data, tmp_path / "blind")
    (blind / "test.de.gz").unlink()
    (tmp_path / "alone").mkdir()
    shutil.copy(blind / "test.en.gz", tmp_path / "alone")
    for folder in (blind, tmp_path / "alone"):
        done = run_here("seq2seq", "evaluate", run, "--data", folder, "--split", "test")
        assert done.returncode == 0, done.stderr
        assert [line.split()[0] for line in done.stdout.splitlines()] == ["tokens", "seconds", "no"]
        assert "no scores: these sentences have no references" in done.stdout
        written = (run / f"translations-{folder.name}-test.txt").read_text()
        again = run_here("seq2seq", "translate", run, folder / "test.en.gz")
        assert written == again.stdout and written.count("\n") == 12


def test_training_on_a_blind_split_is_refused(data, tmp_path):
    blind = shutil.copytree(data, tmp_path / "blind")
    (blind / "val.de.gz").unlink()
    with pytest.raises(UserError, match=r"\Athe 20 sentences of val in .* not learnt from[^\n]*\Z"):
        train(tiny_options(blind, tmp_path / "run"))
    shutil.rmtree(blind)
    blind.mkdir()
    rows = ["en,de,split", *["one,,train"] * 9, *["two,zwei,val"] * 3]
    (blind / "pairs.csv").write_text("\n".join(rows))
    with pytest.raises(
        UserError, match=r"\Athe 9 sentences of train in .* not learnt from[^\n]*\Z"
    ):
        train(tiny_options(blind, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
