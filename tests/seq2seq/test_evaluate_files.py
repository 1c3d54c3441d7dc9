"""Evaluation on two files that are no data set, and with unknown words replaced."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.errors import UserError
from common.text.vocabulary import UNK
from seq2seq import Translator
from seq2seq.data import Pair
from seq2seq.evaluation import evaluate
from seq2seq.train import evaluate_run, train
from tests.commands import run_here
from tests.seq2seq.tiny import tiny_options


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    source, target = tmp_path / "news.en", tmp_path / "news.de"
    source.write_text("one two\n\nthree zebra\nfour\n")
    target.write_text("zwei eins\nx\nzebra drei\nvier\n")
    return source, target


@pytest.fixture
def alone(run, tmp_path) -> Path:
    """The run, whose data are no longer there."""
    copy = Path(shutil.copytree(run, tmp_path / "alone"))
    config = json.loads((copy / "config.json").read_text())
    config["config"]["data"] = str(tmp_path / "gone")
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def test_two_files_are_all_the_data_that_an_evaluation_needs(alone, files):
    done = run_here("seq2seq", "evaluate", alone, "--source", files[0], "--target", files[1])
    assert done.returncode == 0, done.stderr
    assert "bleu" in done.stdout and "case:lc" in done.stdout
    written = json.loads((alone / "evaluation-news.en-news.de.json").read_text())
    assert (written["source"], written["target"]) == tuple(map(str, files))
    assert len((alone / "translations-news.en-news.de.txt").read_text().splitlines()) == 4
    before = (alone / "evaluation-val.json").read_text()
    evaluate_run(
        alone, source=str(files[0]), target=str(files[1]), bleu_tokenize="char", device="cpu"
    )
    assert (alone / "evaluation-news.en-news.de-tok-char.json").is_file()
    assert (alone / "evaluation-val.json").read_text() == before  # what training wrote
    with pytest.raises(UserError, match="Say where: --data"):
        evaluate_run(alone, device="cpu")


def test_the_scores_are_those_of_the_same_pairs_in_a_data_set(run, data, tmp_path):
    for language in ("en", "de"):
        text = gzip.decompress((data / f"test.{language}.gz").read_bytes())
        (tmp_path / f"mine.{language}").write_bytes(text)
    mine = [str(tmp_path / f"mine.{language}") for language in ("en", "de")]
    found = evaluate_run(run, source=mine[0], target=mine[1], device="cpu").metrics
    other = evaluate_run(run, "test", device="cpu").metrics
    assert {**found, "seconds": 0} == pytest.approx({**other, "seconds": 0})


def test_a_language_stays_a_language(run, data, files, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    evaluate_run(run, "test", source="en", target="de", device="cpu")
    assert (run / "evaluation-test.json").is_file()


def test_files_that_do_not_go_together_are_refused_in_one_line(run, files, tmp_path):
    (tmp_path / "short.de").write_text("eins\n")
    source, target = ["--source", files[0]], ["--target", files[1]]
    for arguments, message in (
        ([*source], "news.en is a file: name that of the target sentences too, --target"),
        ([*target], "news.de is a file: name that of the source sentences too, --source"),
        ([*source, "--target", "de"], "news.en is a file, and --target de is not there"),
        ([*source, "--target", "no.de"], "--target no.de is not there"),
        (["--source", "no.en", "--target", "no.de"], "--source no.en: there is no such file"),
        ([*source, *target, "--data", tmp_path], "are all the data: leave out --data"),
        ([*source, *target, "--split", "test"], "leave out --split test"),
        ([*source, "--target", tmp_path / "short.de"], "short.de has 1"),
    ):
        done = run_here("seq2seq", "evaluate", run, *arguments)
        assert done.returncode == 1 and message in done.stderr, done.stderr
        assert done.stderr.strip().count("\n") == 0


def test_unknown_words_that_are_replaced_are_scored_and_recorded(run, files, data, tmp_path):
    options = [*("--source", files[0]), *("--target", files[1]), "--replace-unknown"]
    done = run_here("seq2seq", "evaluate", run, *options)
    assert done.returncode == 0, done.stderr
    name = "news.en-news.de-unknown-replaced"
    assert json.loads((run / f"evaluation-{name}.json").read_text())["replace_unknown"] is True
    evaluate_run(run, "test", replace_unknown=True, device="cpu")
    assert (run / "translations-test-unknown-replaced.txt").is_file()

    translator = Translator.from_run(run, device="cpu")
    with torch.no_grad():  # a model that always finds the unknown word likeliest
        translator.model.decoder.output.bias[UNK] += 100
    pairs = [Pair("zebra zebra", "zebra zebra"), Pair("", "")]
    found = evaluate(translator, pairs, replace_unknown=True, max_length=2, min_length=2)
    assert found.metrics["exact_match"] == 1 and found.recorded["replace_unknown"] is True
    assert "replace_unknown" not in evaluate(translator, pairs, max_length=2).recorded

    small = tiny_options(data, tmp_path / "plain", shown_sentences=0)
    decoder = replace(small.decoder, attention="none")
    train(replace(small, decoder=decoder, training=replace(small.training, epochs=1)))
    done = run_here("seq2seq", "evaluate", tmp_path / "plain", "--replace-unknown")
    assert done.returncode == 1 and "--replace-unknown needs attention" in done.stderr
