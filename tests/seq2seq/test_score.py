"""Scoring translations, whoever wrote them: those of `evaluate` get its scores."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from pathlib import Path
from threading import Thread
from unittest import mock

import pytest

from common.errors import UserError
from seq2seq.options import ScoreOptions
from seq2seq.score import score
from tests.commands import run_here

WRITTEN = ["A dog runs on the grass .", "", "two cats are asleep today", "nothing right"]
FIRST = ["a dog runs on the grass .", "a man", "two cats sleep", "all of it wrong"]
SECOND = ["the dog is running on grass .", "somebody", "two cats are asleep today", "wrong"]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    names = ["written.en", "first.en", "second.en.gz"]
    for name, lines in zip(names, (WRITTEN, FIRST, SECOND), strict=True):
        data = "".join(f"{line}\n" for line in lines).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return [tmp_path / name for name in names]


def scored(*arguments: object) -> dict:
    done = run_here("seq2seq", "score", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("split", ["val", "test"])
def test_what_evaluate_wrote_is_scored_as_evaluate_does(run, data, split):
    """To the last digit, and under the same signatures."""
    assert run_here("seq2seq", "evaluate", run, "--split", split).returncode == 0
    evaluation = json.loads((run / f"evaluation-{split}.json").read_text())
    found = scored(run / f"translations-{split}.txt", data / f"{split}.de.gz", "--lowercase")
    assert found.pop("notes") == []
    assert found.pop("signatures").items() <= evaluation["signatures"].items()
    assert {"bleu", "chrf", "exact_match"} <= found.keys()
    assert found == {name: evaluation[name] for name in found}


def test_what_translate_prints_is_scored_from_standard_input(run, data, monkeypatch, capsys):
    written = run_here("seq2seq", "translate", run, data / "val.en.gz").stdout
    stream = io.BufferedReader(io.BytesIO(written.encode()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    score(ScoreOptions(file="-", references=(str(data / "val.de.gz"),), lowercase=True))
    evaluation = json.loads((run / "evaluation-val.json").read_text())
    assert f"chrf              {evaluation['chrf']:>10.4f}  nrefs:1|" in capsys.readouterr().out


def test_scores_are_those_of_sacrebleu(files):
    import sacrebleu

    found = scored(files[0], files[1])
    assert found["bleu"] == sacrebleu.corpus_bleu(WRITTEN, [FIRST]).score
    assert found["chrf"] == sacrebleu.corpus_chrf(WRITTEN, [FIRST]).score
    assert found["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|")
    several = scored(files[0], files[1], files[2], "--lowercase", "--bleu-tokenize", "intl")
    assert (
        several["bleu"]
        == sacrebleu.corpus_bleu(WRITTEN, [FIRST, SECOND], lowercase=True, tokenize="intl").score
    )
    assert several["signatures"]["bleu"].startswith("nrefs:2|case:lc|eff:no|tok:intl|")
    assert several["exact_match"] == 0.5


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("x.ja", "犬が走る", "char"), ("x.zh", "狗跑了", "zh"), ("x.txt", "狗跑了", "char"),
        ("x.de", "a", "13a"),
    ],
)  # fmt: skip
def test_words_are_found_as_the_language_needs(tmp_path, name, text, tokens):
    """As `evaluate` does, by the language; here that is the ending of the first reference."""
    (tmp_path / name).write_text(f"{text}\n")
    found = scored(tmp_path / name, tmp_path / name)
    assert f"tok:{tokens}|" in found["signatures"]["bleu"]


def test_scores_of_lines_are_those_of_sacrebleu(files, tmp_path):
    import sacrebleu

    items = tmp_path / "items.jsonl"
    found = scored(files[0], *files[1:], "--items", items)
    assert "eff:yes" in found["notes"][0] and "nrefs:2" in found["notes"][0]
    lines = [json.loads(line) for line in items.read_text().splitlines()]
    assert [line["line"] for line in lines] == [1, 2, 3, 4]
    assert [line["translation"] for line in lines] == WRITTEN
    for line, *references in zip(lines, FIRST, SECOND, strict=True):
        text = line["translation"]
        assert line["bleu"] == sacrebleu.sentence_bleu(text, references).score
        assert line["chrf"] == sacrebleu.sentence_chrf(text, references).score
    assert lines[2]["bleu"] == pytest.approx(100) and lines[1]["bleu"] == 0


def test_a_pipe_that_is_named_is_scored(files, tmp_path):
    """As the shell's <(...) is."""
    os.mkfifo(tmp_path / "pipe")
    text = files[0].read_text()
    Thread(target=(tmp_path / "pipe").write_text, args=[text], daemon=True).start()
    assert scored(tmp_path / "pipe", files[1]) == scored(files[0], files[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("WRITTEN", "SHORT"), "written.en has 4 lines, but short has 1. Line n of one must be"),
        (("WRITTEN", "FIRST", "SHORT"), "written.en has 4 lines, but short has 1"),
        (("SHORT", "WRITTEN"), "short has 1 lines, but written.en has 4"),
        (("EMPTY", "EMPTY"), "empty has no line"),
        (("SHORT", "BLANK"), "blank: no reference in it, only blank lines"),
        (("WRITTEN", "nowhere"), "nowhere: there is no such file"),
        (("-", "-"), "standard input can be read once"),
        (
            ("WRITTEN", "LATIN"),
            "latin:2: not UTF-8 text (byte 0xe9). All of it can be read as cp1252",
        ),
        (("WRITTEN", "FIRST", "--items", "nowhere/items"), "there is no folder nowhere"),
        (("WRITTEN", "FIRST", "--items", "FIRST"), "is a file that is scored: name another"),
    ],
    ids=str,
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    files, tmp_path, monkeypatch, arguments, message
):
    for name, content in (
        ("short", b"one\n"), ("empty", b""), ("blank", b"\n"), ("latin", b"a\ncaf\xe9\nb\nc\n"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
    names = {"WRITTEN": "written.en", "FIRST": "first.en"}
    monkeypatch.chdir(tmp_path)
    given = [names.get(each, each.lower()) for each in arguments]
    done = run_here("seq2seq", "score", *given)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_reference_is_needed():
    done = run_here("seq2seq", "score", "written")
    assert done.returncode == 2 and "missing: REFERENCE ..." in done.stderr


def test_a_full_disk_leaves_the_scores_of_before(files, tmp_path, monkeypatch):
    items = tmp_path / "items.jsonl"
    items.write_text("before")
    monkeypatch.setattr("common.cli.scores.json.dumps", mock.Mock(side_effect=OSError(28, "")))
    with pytest.raises(OSError):
        score(ScoreOptions(file=str(files[0]), references=(str(files[1]),), items=items))
    assert items.read_text() == "before" and len(list(tmp_path.iterdir())) == 4


def test_in_code_an_empty_file_is_refused_too(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(UserError, match="has no line"):
        score(ScoreOptions(file=str(tmp_path / "empty"), references=(str(tmp_path / "empty"),)))


def test_files_in_another_encoding_are_scored(tmp_path):
    written, reference = tmp_path / "written.txt", tmp_path / "reference.txt"
    for file in (written, reference):
        file.write_bytes("ein schönes großes haus am see\n".encode("latin-1"))
    done = run_here("seq2seq", "score", written, reference)
    assert done.returncode == 1 and "add --encoding" in done.stderr
    done = run_here("seq2seq", "score", written, reference, "--encoding", "latin-1")
    assert done.returncode == 0 and done.stdout.splitlines()[0].startswith(
        "bleu                100.0"
    )
