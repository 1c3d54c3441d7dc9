"""Translations that begin as they are told to, in code and at the command line."""

from __future__ import annotations

import pytest
import torch

from common.decoding import BeamSearch, Greedy, Sampling
from common.errors import UserError
from seq2seq import Translator
from tests.commands import run_here, run_module
from tests.tolerances import same_log_probability

TEXTS = ["one two three", "cats", "", "four four one two cats three"]


@pytest.fixture(scope="module")
def translator(run) -> Translator:
    return Translator.from_run(run, device="cpu")


@pytest.mark.parametrize(
    "search", [Greedy(), BeamSearch(beam_size=3, n_best=3), Sampling(num_samples=3)], ids=repr
)
def test_every_translation_begins_with_the_prefix(translator, search):
    generator = torch.Generator().manual_seed(0)
    found = translator.translations(
        TEXTS, search, prefix="katzen Zwei", generator=generator, keep_attention=True
    )
    for text, best in zip(TEXTS, found, strict=True):
        for each in best:
            assert each.text.startswith("katzen zwei") == bool(text)  # blank stays blank
            if text:
                again = translator.attention(text.split(), each.tokens)
                rows = len(each.attention)
                assert rows - len(each.tokens) in (0, 1)
                torch.testing.assert_close(each.attention, again[:rows], atol=1e-4, rtol=1e-4)


def test_each_text_may_have_a_prefix_of_its_own_alone_and_in_any_batch(translator):
    prefixes = ["eins", "", "zwei", "katzen vier"]
    found = translator.translations(TEXTS, prefix=prefixes, batch_size=2)
    for text, prefix, (best,) in zip(TEXTS, prefixes, found, strict=True):
        assert best.text.startswith(prefix if text else "")
        ((alone,),) = translator.translations([text], prefix=[prefix])
        assert alone.text == best.text
        same = same_log_probability(best.log_probability, terms=2000)
        assert alone.log_probability == same
    assert translator.translate(TEXTS, prefix=["", "", "", ""]) == translator.translate(TEXTS)
    with pytest.raises(ValueError, match="prefix has 2 texts for 4 sentences"):
        translator.translate(TEXTS, prefix=["eins", "zwei"])


def test_of_a_long_text_the_first_part_begins_with_the_prefix(translator):
    search = Greedy(min_length=4, max_length=4)
    (text,) = translator.translate(["one two " * 300], search, prefix="katzen katzen")
    assert len(text.split()) == 8 and text.startswith("katzen katzen")
    assert not " ".join(text.split()[4:]).startswith("katzen katzen")


def test_a_word_that_the_run_does_not_know_is_written_as_it_is_spelt(translator):
    (text,) = translator.translate(["one"], prefix="zebra eins")
    assert text.startswith("zebra eins") and "<unk>" not in text
    (text,) = translator.translate(["one"], prefix="zebra", replace_unknown=True)
    assert text.startswith("zebra")


def test_a_prefix_counts_in_the_longest_sentence_only_where_somebody_says_how_long(translator):
    long = " ".join(["eins"] * 30)
    with pytest.raises(UserError, match=r"30 tokens has no room in a sentence of 20: shorten it"):
        translator.translate(["one"], prefix=long)  # this run was trained with --max-length 20
    (text,) = translator.translate(["one"], Greedy(min_length=32), prefix=long)
    assert text.startswith(long) and len(text.split()) >= 32


def test_at_the_command_line(run, tmp_path):
    done = run_module(
        "seq2seq", "translate", run, "-", "--prefix", "Zebra eins", input="one\n\ntwo"
    )
    lines = done.stdout.split("\n")
    assert done.returncode == 0 and len(lines) == 4 and lines[1] == ""
    assert lines[0].startswith("zebra eins") and lines[2].startswith("zebra eins")
    assert done.stderr.count("--prefix: 'zebra': not in the vocabulary") == 1
    (tmp_path / "text").write_text("one\n\ntwo\n")
    (tmp_path / "begun").write_text("eins\nzwei\n\n")
    done = run_here(
        "seq2seq", "translate", run, tmp_path / "text", "--prefix-file", tmp_path / "begun"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert lines[0].startswith("eins") and lines[1] == "" and len(lines) == 4


def test_prefixes_that_do_not_fit_are_refused_in_one_line(run, tmp_path):
    (tmp_path / "text").write_text("one\n\ntwo\n")
    (tmp_path / "begun").write_text("eins\nzwei\n")
    named = ["--prefix-file", tmp_path / "begun"]
    for arguments, message in (
        ([*named], "begun has 2 lines, and the text 3"),
        ([*named, "--prefix", "eins"], "leave one out"),
        (["--prefix-file", tmp_path / "none"], "none: there is no such file"),
        (["--prefix", "eins " * 30], "a prefix of 30 tokens has no room in a sentence of 20"),
    ):
        done = run_here("seq2seq", "translate", run, tmp_path / "text", *arguments)
        assert (done.returncode, done.stdout) == (1, "") and message in done.stderr
        assert done.stderr.count("\n") == 1
    for text, message in (("one\ntwo\nfour", "the text has more"), ("one\n", "the text 1")):
        done = run_module("seq2seq", "translate", run, "-", *named, input=text)
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
