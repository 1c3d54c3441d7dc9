"""The whole translator: trained, saved, loaded, resumed, evaluated, and asked at the command line."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import torch
from PIL import Image

from common.data.reading import byte_lines
from common.decoding import BeamSearch, Greedy
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError
from common.models.options import LossOptions
from common.runs.run import Run
from common.text.vocabulary import UNK, Vocabulary
from common.training.options import TrainingOptions
from seq2seq import Translator
from seq2seq.commands import read_lines
from seq2seq.evaluation import alignment
from seq2seq.options import EncoderOptions, TextOptions, TrainOptions
from seq2seq.train import evaluate_run, train
from seq2seq.translator import build_model
from tests.commands import ROOT, on_the_cpu, replace_words, run_here, run_module
from tests.tolerances import assert_same_sums, same_log_probability

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "cats": "katzen"}


def tiny_options(data: Path, run: Path, **changes) -> TrainOptions:
    """A translator so small that an epoch takes a second."""
    options = TrainOptions(
        data=str(data), run_dir=run, source="en", target="de", cache_dir=run.parent / "cache",
        shown_sentences=2,
        text=TextOptions(min_count=1),
        encoder=EncoderOptions(
            encoder_size=16, source_embedding_size=16, source_dropout=0.0, encoder_dropout=0.0
        ),
        decoder=DecoderOptions(
            cell="gru", inject=("init",), attention="additive", embedding_size=16,
            hidden_size=32, attention_size=16, embedding_dropout=0.0, output_dropout=0.0,
        ),
        search=SearchOptions(beam_size=2, max_length=20, search_precision="fp32"),
        training=TrainingOptions(
            epochs=2, batch_size=16, patience=0, device="cpu", precision="fp32"
        ),
    )  # fmt: skip
    return replace(options, **changes)


def write_pairs(folder: Path, name: str, count: int, seed: int) -> None:
    """Sentences of number words, whose translation is word for word, backwards."""
    generator = random.Random(seed)
    folder.mkdir(exist_ok=True, parents=True)
    with (
        gzip.open(folder / f"{name}.en.gz", "wt") as en,
        gzip.open(folder / f"{name}.de.gz", "wt") as de,
    ):
        for _ in range(count):
            words = generator.choices(list(WORDS), k=generator.randint(1, 4))
            en.write(" ".join(words) + "\n")
            de.write(" ".join(WORDS[word] for word in reversed(words)) + "\n")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "numbers"
    for name, count, seed in (("train", 300, 0), ("val", 20, 1), ("test", 12, 2)):
        write_pairs(folder, name, count, seed)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_options(data, folder))
    return folder


def command(*arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
    return run_module("seq2seq", *arguments, input=text)


CHARACTERS = TextOptions(tokenizer="characters")
SENTENCES = ["one two three", "cats", "", "four four one two cats three", "   "]


def test_a_run_holds_all_that_its_translations_need(run, tmp_path):
    moved = run.rename(tmp_path / "moved")
    try:
        translator = Translator.from_run(moved, device="cpu")
        lines = (moved / "translations-val.txt").read_text().splitlines()
        with gzip.open(
            Path(json.loads((moved / "config.json").read_text())["config"]["data"]) / "val.en.gz",
            "rt",
        ) as file:
            assert translator.translate(file.read().splitlines()) == lines
    finally:
        moved.rename(run)


def test_a_sentence_is_translated_the_same_alone_and_in_any_batch(run):
    translator = Translator.from_run(run, device="cpu")
    translator.model.double()
    together = translator.translations(SENTENCES, BeamSearch(beam_size=3, n_best=2))
    for text, best in zip(SENTENCES, together, strict=True):
        (alone,) = translator.translations([text], BeamSearch(beam_size=3, n_best=2))
        assert [each.text for each in alone] == [each.text for each in best]
        for one, other in zip(alone, best, strict=True):
            assert one.log_probability == same_log_probability(
                other.log_probability, terms=len(translator.target.vocabulary) + 21
            )


def test_blank_text_stays_blank_and_long_text_is_translated_in_parts(run):
    translator = Translator.from_run(run, device="cpu")
    texts = ["", "  ", "one two " * 500]  # 1,000 words: three parts
    blank, spaces, long = translator.translate(texts, BeamSearch(min_length=10, max_length=10))
    assert blank == spaces == ""
    assert len(long.split()) == 30


ODD = [
    "one \x00 two \x07\x1b[31m",
    "one 사람 два \u05d0 two",
    "\u200b\u2028",
    "\ufffd",
    "x" * 100_000,
]


def test_at_a_terminal_each_line_is_answered_at_once(run):
    pty = pytest.importorskip("pty")  # where there are such terminals
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "seq2seq", *on_the_cpu("translate", run, "-")],
        cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for _ in range(2):
            os.write(ours, b"one two\n")
            assert process.stdout.readline().endswith("\n")  # though the input has not ended
        os.write(ours, b"\x04")
        assert process.wait(timeout=60) == 0
        assert process.stdout.read() == ""
    os.write(ours, b"\x04")  # once is enough, also where nothing was written before it
    with os.fdopen(os.dup(theirs), "rb") as file:
        assert list(byte_lines(Path("-"), file)) == []
    os.close(ours)
    os.close(theirs)


def test_whatever_stands_in_a_line_one_line_comes_out(run):
    done = command("translate", run, "-", text="\n".join([*ODD, "two"]))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert len(lines) == len(ODD) + 2 and lines[-1] == ""
    (alone,) = Translator.from_run(run, device="cpu").translate(["two"])
    assert lines[-2] == alone


def test_attention_covers_every_token_and_sums_to_one(run):
    translator = Translator.from_run(run, device="cpu")
    weights = translator.attention(["one", "two", "three"], ["drei", "zwei"])
    assert weights is not None
    assert weights.shape == (3, 4)
    assert_same_sums(weights.sum(1), torch.ones(3), terms=2 * 4)


def test_unknown_words_are_written_only_to_be_replaced(run):
    translator = Translator.from_run(run, device="cpu")
    with torch.no_grad():  # a model that always finds the unknown word likeliest
        translator.model.decoder.output.bias[UNK] += 100
    banned = translator.translate(["one zebra"], max_length=3)[0]
    assert "<unk>" not in banned and "zebra" not in banned
    replaced = translator.translate(["zebra"], max_length=3, replace_unknown=True)[0]
    # The source word is unknown too: its own spelling is what a reader can use.
    assert set(replaced.split()) == {"zebra"}


def test_a_model_built_in_code_is_saved_and_read_again(run, data, tmp_path):
    trained = Translator.from_run(run, device="cpu")
    first = trained.translations(SENTENCES)
    trained.save(tmp_path / "saved")
    with pytest.raises(UserError, match=r"built in code: build it again.*model=mine"):
        Translator.from_run(tmp_path / "saved", device="cpu")
    languages = trained.source.vocabulary, trained.target.vocabulary
    mine = build_model(tiny_options(data, run), *languages)
    again = Translator.from_run(tmp_path / "saved", model=mine, device="cpu")
    assert again.search == trained.search and again.translations(SENTENCES) == first


def test_a_translation_is_shown_with_the_attention_it_was_written_with(run):
    translator = Translator.from_run(run, device="cpu")
    together = translator.translations(SENTENCES[:2], keep_attention=True)
    for text, (best,) in zip(SENTENCES, together, strict=False):
        tokens = translator.source.tokenizer.encode(text)
        again = translator.attention(tokens, best.tokens)
        assert best.attention.shape[1] == len(tokens) + 1  # without padding
        torch.testing.assert_close(
            best.attention, again[: len(best.attention)], atol=1e-4, rtol=1e-4
        )
        assert alignment(translator, text, best).width > 50


@pytest.mark.parametrize("attention", ["none", "general"])
def test_a_run_repeats_and_a_resumed_one_ends_the_same(data, tmp_path, attention):
    whole = tiny_options(data, tmp_path / "whole")
    whole = replace(whole, decoder=replace(whole.decoder, attention=attention, inject=("init",)))
    train(whole)
    part = replace(whole, run_dir=tmp_path / "part")
    part = replace(part, training=replace(whole.training, epochs=1))
    train(part)
    train(replace(part, training=whole.training, resume=True))
    ends = [(tmp_path / name / "training.pt") for name in ("whole", "part")]
    first, second = (torch.load(path, weights_only=True)["model"] for path in ends)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("text", "attention"),
    [
        (TextOptions(min_count=1), "none"),
        (TextOptions(tokenizer="characters"), "additive"),
        (
            TextOptions(
                tokenizer="subwords", vocabulary_size=40, joint=True, subword_model="unigram",
            ),
            "general",
        ),
    ],
    ids=["words", "characters", "subwords"],
)  # fmt: skip
def test_learns_a_handful_of_pairs_by_heart(tmp_path, text, attention):
    write_pairs(tmp_path / "few", "val", 8, 0)
    for language in ("en", "de"):  # each of them often, so that few validations are needed
        lines = gzip.decompress((tmp_path / f"few/val.{language}.gz").read_bytes())
        (tmp_path / f"few/train.{language}").write_bytes(10 * lines)
    options = tiny_options(tmp_path / "few", tmp_path / "run", text=text, shown_sentences=0)
    options = replace(
        options,
        encoder=replace(options.encoder, share_embeddings=text.joint, encoder_size=32),
        decoder=replace(
            options.decoder, attention=attention, hidden_size=64, inject=("init", "every")
        ),
        search=replace(options.search, max_length=60),
        monitor="exact_match",
        loss=LossOptions(label_smoothing=0.0),
        training=replace(options.training, epochs=20, learning_rate=0.008, batch_size=8),
    )
    assert train(options).metrics["exact_match"] == 1.0


@pytest.mark.parametrize(
    ("cell", "inject", "reverse"),
    [("gru_cho", ("init", "every", "output"), False), ("lstm", ("init",), True)],
    ids=["Cho 2014", "Sutskever 2014"],
)
def test_the_first_translators_learn_a_handful_of_pairs(tmp_path, cell, inject, reverse):
    write_pairs(tmp_path / "data", "train", 12, 3)
    write_pairs(tmp_path / "data", "val", 12, 3)
    options = tiny_options(tmp_path / "data", tmp_path / "run", monitor="exact_match")
    encoder = replace(
        options.encoder, encoder_cell=cell, encoder_size=48, bidirectional=False,
        reverse_source=reverse,
    )  # fmt: skip
    decoder = replace(
        options.decoder, cell=cell, inject=inject, attention="none", hidden_size=48,
        readout="maxout" if cell == "gru_cho" else "tanh",
    )  # fmt: skip
    training = replace(options.training, epochs=60, learning_rate=0.01)
    evaluation = train(replace(options, encoder=encoder, decoder=decoder, training=training))
    assert evaluation.metrics["exact_match"] == 1.0


def test_training_starts_from_pretrained_embeddings(data, tmp_path):
    vectors = {word: [float(n)] * 16 for n, word in enumerate(["One", "two", "zebra"], 1)}
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in vectors.items()))
    options = tiny_options(data, tmp_path / "run", shown_sentences=0)
    frozen = replace(options.training, epochs=1, learning_rate=0.0)
    encoder = replace(options.encoder, source_embeddings=path)
    train(replace(options, encoder=encoder, training=frozen))
    path = path.rename(tmp_path / "moved.txt")  # is no longer needed
    longer = replace(frozen, epochs=2)
    train(replace(options, encoder=encoder, training=longer, resume=True))
    translator = Translator.from_run(tmp_path / "run", device="cpu")
    weights = translator.model.encoder.embedding.weight
    one, two = translator.source.vocabulary.encode(["one", "two"])
    assert (weights[one] == 1).all() and (weights[two] == 2).all()  # folded to lower case

    too_wide = replace(options.encoder, source_embeddings=path, source_embedding_size=8)
    with pytest.raises(UserError, match=r"moved\.txt"):
        train(replace(options, encoder=too_wide, overwrite=True))


def test_evaluation_writes_scores_signatures_and_translations(run):
    evaluation = evaluate_run(run, "test", device="cpu")
    written = json.loads((run / "evaluation-test.json").read_text())
    assert written.pop("signatures") == evaluation.signatures
    assert written.pop("search")["beam_size"] == 2
    assert written.pop("precision") == "fp32"
    assert written.pop("data").endswith("numbers") and written.pop("ensemble") == []
    assert "case:lc" in evaluation.signatures["bleu"]
    assert written == pytest.approx(evaluation.metrics)
    assert {"bleu", "chrf", "exact_match", "perplexity", "tokens", "seconds"} <= set(written)
    assert len((run / "translations-test.txt").read_text().splitlines()) == 12


def test_an_ensemble_of_a_run_with_itself_says_the_same(run):
    alone, twice = (Translator.from_run(*runs, device="cpu") for runs in ((run,), (run, run)))
    for translator in (alone, twice):
        translator.model.double()
    assert alone.translate(SENTENCES) == twice.translate(SENTENCES)


def test_an_ensemble_needs_one_vocabulary(run, data, tmp_path):
    other = tiny_options(data, tmp_path / "other", text=TextOptions(tokenizer="characters"))
    train(replace(other, training=replace(other.training, epochs=1)))
    with pytest.raises(UserError, match="another source_tokenizer.json"):
        Translator.from_run(run, tmp_path / "other", device="cpu")


def test_tensorboard_holds_what_it_promises(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    scalars = {"train/loss", "train/gradient_norm", "speed/tokens_per_second"}
    scalars |= {"validation/bleu", "validation/perplexity", "best/bleu"}
    assert scalars <= set(tags["scalars"])
    assert sum(tag.startswith("alignment/") for tag in tags["images"]) == 2
    assert any("translations" in tag for tag in tags["tensors"])


def test_the_command_writes_one_line_for_each_line(run, tmp_path):
    sheet = tmp_path / "sheet.png"
    text = "one two\n\ncats\x85three\r\nfour"  # \x85 ends no line, and the last needs no end
    done = command("translate", run, "-", "--alignments", sheet, text=text)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split("\n")) == 5 and done.stdout.split("\n")[1] == ""
    assert Image.open(sheet).width > 100

    (tmp_path / "file.txt").write_text("one\ntwo\n")
    done = command("translate", run, tmp_path / "file.txt", "--n-best", 2, "--scores")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == 4 and all(float(score) < 0 for score, _ in lines)

    text = "one\n\n" + "two " * 900  # a blank line, and one that is translated in parts
    done = command("translate", run, "-", "--n-best", 2, text=text)
    assert done.stdout.count("\n") == 6 and done.stdout.split("\n")[2:4] == ["", ""]


def test_a_pipe_that_is_named_is_translated(run, tmp_path):
    """As the shell's <(...) is."""
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_text, args=["one two\ncats\n"], daemon=True)
    writer.start()
    done = run_here("seq2seq", "translate", run, tmp_path / "pipe")
    writer.join()
    assert done.returncode == 0 and done.stdout.count("\n") == 2


def test_tokens_of_others_cannot_command_the_terminal(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (tmp_path / "text").write_text("one two\n")
    for token, ends in (("\x1b[2J", 0), ("\x9b2J", 0), ("\ud800", 1)):
        replace_words(copy, "target_vocabulary.json", token)
        done = run_here("seq2seq", "translate", copy, tmp_path / "text")
        assert done.returncode == ends and "Traceback" not in done.stderr
        shown = done.stderr if ends else done.stdout
        assert ("lone surrogate" if ends else f"\\u{ord(token[0]):04x}") in shown
        assert token[0] not in shown


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_is_read_line_by_line_plain_or_compressed(tmp_path, capsys, pack):
    text = b"\xef\xbb\xbfM\xe4dchen \r\n\n \ncats\xc2\x85three\x00\nend"
    (tmp_path / "text").write_bytes(pack(text))
    lines = list(read_lines(str(tmp_path / "text")))
    assert lines == ["M\ufffddchen ", "", " ", "cats\x85three\x00", "end"]
    assert capsys.readouterr().err.count("text:1: not UTF-8 text (byte 0xe4)") == 1


def test_a_compressed_file_is_translated_as_what_it_holds(run, tmp_path):
    lines = "".join(f"{text}\n" for text in SENTENCES)
    (tmp_path / "text.gz").write_bytes(gzip.compress(lines.encode()))
    done = command("translate", run, tmp_path / "text.gz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == len(SENTENCES)
    assert done.stdout == command("translate", run, "-", text=lines).stdout


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "wide").write_text("one two\n", encoding="utf-16")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"one two\n" * 100)[:-10])
    for name, message in (
        ("wide", "wide: UTF-16, not UTF-8 text"),
        ("cut.gz", "cut.gz: a damaged or incomplete gzip file"),
        (".", "is a folder"),
        ("nowhere", "nowhere: there is no such file"),
    ):
        with pytest.raises(UserError, match=message):
            list(read_lines(str(tmp_path / name)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--data", "nowhere", "--run-dir", "NEW"), "nowhere"),
        (("train", "--data", "DATA", "--run-dir", "OLD"), "holds a run already"),
        (("train", "--data", "DATA", "--run-dir", "NEW", "--share-embeddings"), "--joint"),
        (("train", "--data", "DATA", "--run-dir", "NEW", "--teacher-forcing", "linear"), "below 1"),
        (
            ("train", "--data", "DATA", "--run-dir", "NEW", "--schedule", "plateau",
             "--warmup-steps", 1),
            "has no warm-up",
        ),
        (("train", "--data", "DATA", "--run-dir", "NEW", "--vocabulary-size", 3), "at least 5"),
        (
            ("train", "--data", "DATA", "--run-dir", "NEW", "--joint", "--share-embeddings",
             "--source-embeddings", "a", "--target-embeddings", "b"),
            "name one file",
        ),
        (
            ("train", "--data", "DATA", "--run-dir", "NEW", "--joint", "--share-embeddings",
             "--embedding-size", 8),
            "are 256 and 8",
        ),
        (("train", "--data", "DATA", "--run-dir", "NEW", "--target-embeddings", "no"), "no such file"),
        (("evaluate", "nowhere"), "nowhere"),
        (("evaluate", "OLD", "--split", "tset"), "tset"),
        (("translate", "OLD", "nowhere.txt"), "nowhere.txt"),
        (("translate", "OLD", "--n-best", "9"), "--n-best"),
        (("translate", "OLD", "--batch-size", "0"), "--batch-size 0 is not at least 1"),
        (("translate", "OLD", "--length-penalty", "nan"), "--length-penalty must not be negative"),
        (("translate", "OLD", "--device", "tpu"), "cpu, cuda"),
        (("translate", "OLD", "--alignments", "nowhere/sheet.png"), "there is no folder nowhere"),
        (("translate", "OLD", "--alignments", "sheet.jpg"), ".png"),
        (("evaluate", "OLD", "--beam-size", "0"), "--beam-size must be at least 1"),
        (("train", "--data", "DATA", "--run-dir", "NEW", "--encoder-size", "0"), "--encoder-size"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)  # fmt: skip
def test_errors_are_one_line_without_a_traceback(run, data, tmp_path, arguments, message):
    names = {"DATA": data, "OLD": run, "NEW": tmp_path / "new"}
    done = run_here("seq2seq", *(names.get(each, each) for each in arguments))
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    *before, last = done.stderr.strip().splitlines()
    assert last.startswith("error: ") and not any(line.startswith("error") for line in before)


def test_a_run_stays_until_nothing_more_can_refuse_the_one_that_replaces_it(run, data, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    before = {path.name for path in copy.iterdir()}
    with pytest.raises(UserError, match="no training pair"):
        train(tiny_options(data, copy, overwrite=True, max_tokens=1, text=CHARACTERS))
    assert {path.name for path in copy.iterdir()} == before


def test_without_attention_nothing_can_be_replaced_or_shown(data, tmp_path):
    options = tiny_options(data, tmp_path / "run")
    train(
        replace(
            options,
            decoder=replace(options.decoder, attention="none"),
            training=replace(options.training, epochs=1),
        )
    )
    assert not Translator.from_run(tmp_path / "run", device="cpu").has_attention
    for option in (["--replace-unknown"], ["--alignments", tmp_path / "sheet.png"]):
        done = command("translate", tmp_path / "run", *option, text="one\n")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{option[0]} needs attention" in done.stderr


def test_a_line_of_any_length_is_validated_on_without_its_scores(data, tmp_path, capsys):
    folder = Path(shutil.copytree(data, tmp_path / "data"))
    for language, word in (("en", "one"), ("de", "eins")):
        path = folder / f"val.{language}.gz"
        text = gzip.decompress(path.read_bytes()).decode()
        path.write_bytes(gzip.compress((f"{word} " * 20_000 + "\n" + text).encode()))
    options = tiny_options(folder, tmp_path / "run")
    evaluation = train(replace(options, training=replace(options.training, epochs=1)))
    assert len(evaluation.outputs) == 21
    assert "leave out 1 of 21 pairs" in capsys.readouterr().err
    assert evaluate_run(tmp_path / "run", "val", device="cpu").metrics["perplexity"] > 1


def test_bleu_finds_the_words_of_a_language_without_blanks(data, tmp_path):
    folder = tmp_path / "chinese"
    folder.mkdir()
    for split in ("train", "val"):
        (folder / f"{split}.en").write_text("i like dogs\n" * 20)
        (folder / f"{split}.zh").write_text("我喜欢小狗。\n" * 20)
    options = tiny_options(folder, tmp_path / "run", target="zh")
    options = replace(options, training=replace(options.training, epochs=1))
    assert "tok:zh" in train(options).signatures["bleu"]
    found = evaluate_run(tmp_path / "run", bleu_tokenize="char", device="cpu")
    assert "tok:char" in found.signatures["bleu"]
    assert options.scoring()["tokenize"] == "zh"
    assert replace(options, target="ja-JP").scoring()["tokenize"] == "char"
    assert replace(options, target="de").scoring()["tokenize"] == "13a"


def test_standard_input_is_read_as_a_file_is(run):
    plain = command("translate", run, "-", text="one two\nthree\n").stdout
    packed = gzip.compress(b"one two\nthree\n")
    done = run_module("seq2seq", "translate", run, "-", input=packed, text=False)
    assert done.stdout.decode() == plain and plain.count("\n") == 2
    wide = "one\n".encode("utf-16")
    done = run_module("seq2seq", "translate", run, "-", input=wide, text=False)
    assert (done.returncode, done.stdout) == (1, b"") and b"UTF-16" in done.stderr


def test_a_run_without_its_vocabulary_is_named(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "target_vocabulary.json").unlink()
    with pytest.raises(UserError, match="incomplete: target_vocabulary.json"):
        Translator.from_run(copy, device="cpu")


def test_a_run_knows_its_languages_and_its_data(data, tmp_path):
    options = tiny_options(data, tmp_path / "run", source=None, target="de")
    train(options)
    assert json.loads((options.run_dir / "config.json").read_text())["config"]["source"] == "en"
    before = (options.run_dir / "evaluation-val.json").read_text()

    other = tmp_path / "other"
    for name, count, seed in (("train", 300, 0), ("val", 20, 9)):  # other validation sentences
        write_pairs(other, name, count, seed)
    with pytest.raises(UserError, match=r"another data\.json: the data has changed"):
        train(replace(options, data=str(other), resume=True))
    evaluate_run(options.run_dir, "val", data=str(other), device="cpu")
    evaluate_run(options.run_dir, "val", ensemble=[options.run_dir], device="cpu")
    assert (options.run_dir / "evaluation-val.json").read_text() == before
    greedy = Greedy(min_length=1, max_length=20, length_penalty=0.7)
    evaluate_run(options.run_dir, "val", search=greedy, bleu_tokenize="char", device="cpu")
    for name in ("other-val", "val-ensemble-run", "val-search-Greedy-tok-char"):
        assert (options.run_dir / f"evaluation-{name}.json").is_file()

    backwards = tmp_path / "backwards"
    backwards.mkdir()
    for end in ("ko", "he"):
        (backwards / f"val.{end}").write_text("one\n")
    with pytest.raises(UserError, match="en"):
        evaluate_run(options.run_dir, "val", data=str(backwards), device="cpu")


def test_a_run_that_was_moved_is_resumed(run, data, tmp_path):
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    options = tiny_options(data, moved, resume=True, cache_dir=run.parent / "cache")
    longer = replace(options, training=replace(options.training, epochs=3))
    train(longer)
    assert json.loads((moved / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] == 3


def test_other_settings_are_refused_before_the_text_is_read(data, tmp_path):
    options = tiny_options(data, tmp_path / "run", source=None)
    short = replace(options.training, epochs=1, schedule="cosine")
    train(replace(options, training=short))
    before = sorted((tmp_path / "cache").iterdir())
    again = replace(options, resume=True, training=short)
    for changed, message in (
        (replace(again, text=CHARACTERS), 'started with text.tokenizer = "words"'),
        (replace(again, target="en", source="de"), 'started with source = "en"'),
        # Every learning rate of a cosine depends on where it ends.
        (
            replace(again, training=replace(options.training, schedule="cosine")),
            "started with training.epochs = 1, not 2",
        ),
    ):
        with pytest.raises(UserError, match=message):
            train(changed)
    with pytest.raises(UserError, match="do not go together"):
        attention = replace(options.decoder, attention="dot", hidden_size=20)
        train(replace(again, decoder=attention, text=CHARACTERS, run_dir=tmp_path / "new"))
    assert sorted((tmp_path / "cache").iterdir()) == before


def test_seeds_learn_from_the_same_pairs_and_can_be_an_ensemble(tmp_path):
    (tmp_path / "data").mkdir()
    pairs = [f"one {one} {two}\teins {two} {one}" for one in WORDS for two in WORDS] * 4
    (tmp_path / "data" / "pairs.tsv").write_text("\n".join(f"{n} {p}" for n, p in enumerate(pairs)))
    runs = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(runs):
        options = tiny_options(tmp_path / "data", folder, source=None, target=None)
        train(replace(options, training=replace(options.training, epochs=1, seed=seed)))
    first, second = (json.loads((folder / "data.json").read_text()) for folder in runs)
    assert first == second
    evaluate_run(runs[0], ensemble=runs[1:], device="cpu")


def test_a_vocabulary_of_another_run_is_noticed(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    path = copy / "target_vocabulary.json"
    path.write_text(path.read_text().replace("drei", "acht"))  # as many words, but others
    done = command("translate", copy, "-", text="one")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "target_vocabulary.json is not the file that this run was trained with" in done.stderr


def test_a_measured_precision_is_printed_kept_and_resumed_with(data, tmp_path, monkeypatch, capsys):
    options = tiny_options(data, tmp_path / "run", shown_sentences=0)
    training = replace(options.training, epochs=1, precision="auto")
    search = replace(options.search, search_precision="auto")
    options = replace(options, training=training, search=search)

    def kept() -> str:
        return json.loads((tmp_path / "run" / "config.json").read_text())["config"]["training"][
            "precision"
        ]

    def took(split: str) -> str:
        return json.loads((tmp_path / "run" / f"evaluation-{split}.json").read_text())["precision"]

    monkeypatch.setattr("common.compute.precision.bfloat16_speed_up", lambda model: 2.0)
    train(options)
    assert "precision bf16: products in bfloat16 are 2.00 times as fast" in capsys.readouterr().err
    assert kept() == took("val") == "bf16"
    monkeypatch.setattr("common.compute.precision.bfloat16_speed_up", lambda model: 1.1)
    train(replace(options, training=replace(training, epochs=2), resume=True))
    assert kept() == took("val") == "bf16"  # what training chose stays
    evaluate_run(tmp_path / "run", "test", device="cpu")
    assert took("test") == "fp32"  # a search measures anew
    with pytest.raises(UserError, match=r'precision = "bf16", not "fp32"'):
        train(replace(options, training=replace(training, precision="fp32"), resume=True))


def test_a_run_of_format_1_is_read_without_the_options_that_are_gone(data, tmp_path):
    options = tiny_options(data, tmp_path / "run", text=CHARACTERS)
    train(options)
    before = Translator.from_run(tmp_path / "run").translate(["ein hund rennt."])
    path = tmp_path / "run/config.json"
    stored = json.loads(path.read_text())
    config = stored["config"]
    config["text"]["subword_sampling"] = 0.1
    config["training"] |= {"average_best": 3, **config.pop("loss")}
    path.write_text(json.dumps(stored | {"format": 1}))
    assert Translator.from_run(tmp_path / "run").translate(["ein hund rennt."]) == before
    read = Run.open(tmp_path / "run", "translator").read_config(TrainOptions)
    assert read.text == CHARACTERS and read.loss == options.loss


def test_what_is_asked_for_is_what_is_built_and_one_matrix_for_both_languages():
    options = TrainOptions(
        data="d", run_dir=Path("r"),
        encoder=EncoderOptions(encoder_size=8, source_embedding_size=8, share_embeddings=True),
        decoder=DecoderOptions(
            embedding_size=8, hidden_size=8, tie_embeddings=True, attention="additive"
        ),
        loss=LossOptions(label_smoothing=0.2, coverage=0.5),
    )  # fmt: skip
    words = Vocabulary(["one", "two", "three"])
    model = build_model(options, words, words)
    assert (model.label_smoothing, model.coverage) == (0.2, 0.5)
    assert model.decoder.output.weight is model.decoder.embedding.weight
    assert model.encoder.embedding.weight is model.decoder.embedding.weight
    assert len({id(parameter) for parameter in model.parameters()}) == len(list(model.parameters()))


@pytest.mark.parametrize(
    "part, name, value",
    [("encoder", "encoder_size", size) for size in (30_000, 2**31, 10**30, 1e30, [16])]
    + [("encoder", "encoder_layers", 10**6), ("decoder", "num_layers", 100)],
)
def test_options_of_a_stranger_cost_neither_memory_nor_time(run, tmp_path, part, name, value):
    folder = shutil.copytree(run, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["config"][part][name] = value
    (folder / "config.json").write_text(json.dumps(config))
    start = time.perf_counter()
    with pytest.raises(UserError, match=rf"\A{folder}/(config.json|model.safetensors)[^\n]*\Z"):
        Translator.from_run(folder, device="cpu")
    assert time.perf_counter() - start < 5
