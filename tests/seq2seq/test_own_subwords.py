"""A translator of SentencePiece models that its user brings."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from common.errors import UserError
from common.text.subword import SubwordTokenizer
from seq2seq import Translator
from seq2seq.options import TextOptions
from seq2seq.train import evaluate_run, train
from tests.commands import run_here
from tests.common.text.test_foreign_subwords import write_model
from tests.seq2seq.tiny import WORDS, tiny_options

SOURCES = [" ".join(list(WORDS)[n:]) for n in range(4)] * 5
TARGETS = [" ".join(list(WORDS.values())[n:]) for n in range(4)] * 5


def small(data, folder, text: TextOptions, **changes):
    options = tiny_options(data, folder, text=text, shown_sentences=0, **changes)
    return replace(options, training=replace(options.training, epochs=1))


def test_one_model_for_each_language_is_kept_in_the_run(data, tmp_path, capsys):
    ours = write_model(tmp_path / "source.model", SOURCES, pad_id=3)
    theirs = write_model(tmp_path / "target.model", TARGETS, model_type="bpe")
    text = TextOptions(tokenizer="subwords", subword_model=str(ours), target_subword_model=theirs)
    options = small(data, tmp_path / "run", text)
    train(options)
    shown = capsys.readouterr().err
    assert "source: a vocabulary of" in shown and "covers 100.0% of the training text" in shown
    for path in (ours, theirs):
        path.rename(path.with_suffix(".moved"))  # is no longer needed
    longer = replace(options.training, epochs=2)
    train(replace(options, training=longer, resume=True))
    evaluate_run(tmp_path / "run", "test", device="cpu")
    translator = Translator.from_run(tmp_path / "run", device="cpu")
    for language, path in ((translator.source, ours), (translator.target, theirs)):
        own = SubwordTokenizer.read(path.with_suffix(".moved"), lowercase=True)
        assert language.tokenizer.model == own.model
        assert set(language.vocabulary.tokens[4:]) <= set(own.pieces)
    (text,) = translator.translate(["one two"], prefix="zwei")
    assert text.startswith("zwei") and "▁" not in text


@pytest.mark.parametrize("joint", [False, True])
def test_one_model_of_both_languages(data, tmp_path, joint):
    path = write_model(
        tmp_path / "both.model", SOURCES + TARGETS, byte_fallback=True, vocab_size=330
    )
    text = TextOptions(tokenizer="subwords", subword_model=str(path), joint=joint)
    train(small(data, tmp_path / "run", text))
    translator = Translator.from_run(tmp_path / "run", device="cpu")
    source, target = translator.source, translator.target
    assert source.tokenizer.model == target.tokenizer.model == path.read_bytes()
    assert (source.vocabulary.tokens == target.vocabulary.tokens) == joint


def test_a_model_of_another_content_under_the_same_name_is_not_taken_from_the_cache(data, tmp_path):
    path = tmp_path / "any.model"
    text = TextOptions(tokenizer="subwords", subword_model=str(path))
    for folder, kind in (("one", "bpe"), ("two", "char")):
        write_model(path, SOURCES + TARGETS, model_type=kind)
        train(small(data, tmp_path / folder, text))
        translator = Translator.from_run(tmp_path / folder, device="cpu")
        assert translator.source.tokenizer.model == path.read_bytes()


def test_what_a_model_does_not_suit_is_said(data, tmp_path, capsys):
    folder = tmp_path / "capitals"
    folder.mkdir()
    for split in ("train", "val"):
        for language in ("en", "de"):
            text = gzip.decompress((data / f"{split}.{language}.gz").read_bytes()).decode()
            (folder / f"{split}.{language}").write_text(text.title())
    path = write_model(tmp_path / "any.model", [text.title() for text in SOURCES + TARGETS])
    options = TextOptions(tokenizer="subwords", subword_model=str(path))
    train(small(folder, tmp_path / "run", options))
    assert "pieces with capitals, and the text is folded to lower case" in capsys.readouterr().err
    train(small(folder, tmp_path / "again", replace(options, lowercase=False)))
    assert "pieces with capitals" not in capsys.readouterr().err


def test_at_the_command_line(data, tmp_path, monkeypatch):
    path = write_model(tmp_path / "any.model", SOURCES + TARGETS)
    (tmp_path / "bpe").mkdir()  # is no model, and not what --subword-model bpe names
    monkeypatch.chdir(tmp_path)
    start = ["train", "--data", data, "--source", "en", "--target", "de", "--encoder-size", 8,
             "--hidden-size", 8, "--epochs", 1, "--tokenizer", "subwords"]  # fmt: skip
    for name, given in (("own", "any.model"), ("learnt", "bpe")):
        size = ["--vocabulary-size", 40] if given == "bpe" else []
        done = run_here("seq2seq", *start, "--run-dir", name, "--subword-model", given, *size)
        assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "own/config.json").read_text())["config"]["text"]
    assert kept["subword_model"] == str(path)  # from any folder
    kept = json.loads((tmp_path / "learnt/config.json").read_text())["config"]["text"]
    assert kept["subword_model"] == "bpe"
    (tmp_path / "odd.model").write_text("▁one\t-1\n")
    for more, message in (
        (["--subword-model", "odd.model"], "odd.model: no SentencePiece model, or a damaged one"),
        (["--subword-model", "no.model"], "--subword-model no.model: there is no such file"),
        (["--target-subword-model", "no.model"], "no.model: there is no such file. Name a model."),
        (["--target-subword-model", "any.model", "--joint"], "--joint has one tokenizer"),
        (["--subword-model", "any.model", "--tokenizer", "words"], "is for --tokenizer subwords"),
    ):
        done = run_here("seq2seq", *start, "--run-dir", "new", *more)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1
        assert not (tmp_path / "new").exists()


def test_a_run_that_was_begun_with_another_model_is_refused(data, tmp_path):
    options = small(data, tmp_path / "run", TextOptions(tokenizer="subwords", vocabulary_size=40))
    train(options)
    path = write_model(tmp_path / "any.model", SOURCES + TARGETS)
    other = replace(options.text, subword_model=str(path))
    with pytest.raises(UserError, match='started with text.subword_model = "bpe"'):
        train(replace(options, text=other, resume=True))
