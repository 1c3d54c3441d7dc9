"""The translator at the command line."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from common.data.reading import byte_lines
from common.errors import UserError
from seq2seq import Translator
from seq2seq.commands import read_lines
from seq2seq.train import train
from tests.commands import ROOT, on_the_cpu, replace_words, run_here, run_module
from tests.searches import OF_ANOTHER, SEARCHES, answers, assert_obeyed, assert_recorded
from tests.seq2seq.tiny import SENTENCES, tiny_options


def command(*arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
    return run_module("seq2seq", *arguments, input=text)


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


def test_the_command_writes_one_line_for_each_line(run, tmp_path):
    sheet = tmp_path / "sheet.png"
    text = "one two\n\ncats\x85three\r\nfour"  # \x85 ends no line, and the last needs no end
    done = command("translate", run, "-", "--alignments", sheet, text=text)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split("\n")) == 5 and done.stdout.split("\n")[1] == ""
    assert Image.open(sheet).width > 100
    assert f"--alignments: {sheet}" in done.stderr

    (tmp_path / "file.txt").write_text("one\ntwo\n")
    done = command("translate", run, tmp_path / "file.txt", "--n-best", 2, "--scores")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == 4 and all(float(score) < 0 for score, _ in lines)

    text = "one\n\n" + "two " * 900  # a blank line, and one that is translated in parts
    done = command("translate", run, "-", "--n-best", 2, text=text)
    assert done.stdout.count("\n") == 6 and done.stdout.split("\n")[2:4] == ["", ""]


@pytest.mark.parametrize("options", SEARCHES)
def test_any_search_is_chosen_at_the_command_line(run, data, tmp_path, options):
    """The same seed draws the same translations, and all that a search returns are printed."""
    search = SEARCHES[options]
    (tmp_path / "text").write_text("one two three\ncats four\n\nfour\n")
    command = ["translate", run, tmp_path / "text", *options.split(), "--seed", 1]
    first, again = run_here("seq2seq", *command), run_here("seq2seq", *command)
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    lines = first.stdout.split("\n")[:-1]
    count = answers(search)
    assert len(lines) == 4 * count and lines[2 * count : 3 * count] == [""] * count
    assert_obeyed(search, [line.split() for line in lines if line])
    if search["search"] == "Sampling":
        assert run_here("seq2seq", *command[:-1], 2).stdout != first.stdout

    done = run_here("seq2seq", "evaluate", run, *options.split(), "--seed", 1)
    assert done.returncode == 0 and "chrf" in done.stdout
    newest = max(run.glob("evaluation-val-*.json"), key=os.path.getmtime)
    assert_recorded(search, json.loads(newest.read_text()))


@pytest.mark.parametrize(("options", "message"), OF_ANOTHER)
def test_an_option_that_changes_nothing_is_refused(run, options, message):
    for command in (["translate", run], ["evaluate", run]):
        done = run_here("seq2seq", *command, *options.split())
        assert done.returncode == 1 and message in done.stderr and not done.stdout


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
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"one two\n" * 100)[:-10])
    for name, message in (
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


def test_standard_input_is_read_as_a_file_is(run):
    plain = command("translate", run, "-", text="one two\nthree\n").stdout
    packed = gzip.compress(b"one two\nthree\n")
    done = run_module("seq2seq", "translate", run, "-", input=packed, text=False)
    assert done.stdout.decode() == plain and plain.count("\n") == 2
    wide = "one two\nthree\n".encode("utf-16")
    done = run_module("seq2seq", "translate", run, "-", input=wide, text=False)
    assert done.stdout.decode() == plain, done.stderr


def test_an_evaluation_has_a_limit_of_damage_of_its_own(run, tmp_path):
    """The limit that its refusal advises."""
    copy = shutil.copytree(run, tmp_path / "run")
    (tmp_path / "data").mkdir()
    pair = '{"en": "one two", "de": "zwei eins", "split": "val"}\n'
    (tmp_path / "data" / "pairs.jsonl").write_text(9 * pair + "broken\n")
    evaluation = ["seq2seq", "evaluate", copy, "--data", tmp_path / "data"]
    refused = run_here(*evaluation)
    assert refused.returncode == 1 and "--max-problems 0.1 " in refused.stderr
    done = run_here(*evaluation, "--max-problems", 0.1)
    assert done.returncode == 0, done.stderr


def test_a_file_in_another_encoding_is_translated(run, tmp_path):
    (tmp_path / "text").write_bytes("one zwölf two\n".encode("latin-1"))
    done = command("translate", run, tmp_path / "text", "--encoding", "latin-1")
    expected = command("translate", run, "-", text="one zwölf two\n").stdout
    assert (done.returncode, done.stdout) == (0, expected) and "replaced" not in done.stderr
    done = command("translate", run, tmp_path / "text", "--encoding", "latin-x")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "--encoding latin-x: there is no such encoding" in done.stderr
