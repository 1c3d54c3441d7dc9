"""Alignments as pairs of words: which words, from which attention, a line for each line."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from common.models.sentence import Sentence
from common.text import CharacterTokenizer, SubwordTokenizer, WhitespaceTokenizer, WordTokenizer
from common.text.language import Language
from common.text.vocabulary import Vocabulary
from seq2seq import Translator
from seq2seq.alignments import pharaoh, word_alignment, words_of_text, words_of_tokens
from seq2seq.train import train
from tests.commands import run_here, run_module
from tests.seq2seq.tiny import tiny_options

WORDS = WordTokenizer(punctuation=True)
SUBWORDS = SubwordTokenizer.train(["ein hund, ein hündchen.", "zwei hunde rennen"] * 5, 40)
TOKENIZERS = [WORDS, WhitespaceTokenizer(), CharacterTokenizer(), SUBWORDS]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize(
    "text",
    ["ein hund, ein hündchen.", "  ein\thund \u00a0 rennt ", "hund", "(ein) hund's 'hund' &amp; a-b",
     "don't cannot \"ein hund\" , ja !", "ein \u200b hund"],
)  # fmt: skip
def test_each_token_is_of_the_word_between_blanks_that_it_is_written_in(tokenizer, text):
    tokens = tokenizer.encode(text)
    places = words_of_text(tokenizer, text, tokens)
    assert len(places) == len(tokens) and places == sorted(places)
    words = text.split()
    for token, place in zip(tokens, places, strict=True):
        word = words[place].lower()  # of which an entity is a sign
        piece = token.replace("▁", "").strip()
        assert piece in word or piece in word.replace("&amp;", "&"), (tokens, places)

    decoded = tokenizer.decode(tokens)
    places = words_of_tokens(tokenizer, tokens)
    assert len(places) == len(tokens) and places == sorted(places)
    for token, place in zip(tokens, places, strict=True):
        assert token.replace("▁", "").strip() in decoded.split()[place].lower(), (tokens, places)


def test_in_a_script_without_blanks_each_token_is_a_word():
    for tokenizer in (CharacterTokenizer(), SUBWORDS):
        tokens = tokenizer.encode("我喜欢小狗。")
        every = list(range(len(tokens)))
        assert words_of_text(tokenizer, "我喜欢小狗。", tokens) == every
        assert words_of_tokens(tokenizer, tokens) == every
    assert set(words_of_text(CharacterTokenizer(), "나는 간다", list("나는 간다"))) == {0, 1}


def languages(tokenizer, *texts: str) -> list[Language]:
    return [Language(tokenizer, Vocabulary(sorted(set(tokenizer.encode(text))))) for text in texts]


class Fixed(Translator):
    """Only its languages are asked for."""

    def __init__(self, source: Language, target: Language) -> None:
        self.source, self.language = source, target


def test_the_attention_of_all_pieces_of_a_word_counts_together():
    text, wrote = "der hund rennt.", "a dog runs."
    source, target = WORDS.encode(text), WORDS.encode(wrote)  # four tokens each
    # "rennt" and "." are one word: together they are looked at more than "hund".
    rows = [[0.9, 0.05, 0.05, 0, 0], [0, 0.4, 0.3, 0.3, 0], [0, 0, 1, 0, 0], [0.6, 0, 0, 0, 0.4]]
    attention = torch.tensor([*rows, [0, 0, 0, 0, 1.0]])  # and the end tokens of both
    translator = Fixed(*languages(WORDS, text, wrote))
    written = Sentence(wrote, target, 0.0, 0.0, attention)
    # Of "runs." the first token looks at "rennt" by 1, the second at "der" by 0.6.
    assert word_alignment(translator, text, written) == [(0, 0), (2, 1), (2, 2)]
    assert pharaoh([(0, 0), (2, 1)]) == "0-0 2-1" and pharaoh([]) == ""
    assert len(source) == 4
    for nothing in (replace(written, attention=None), Sentence("", [], 0, 0, attention[:1])):
        assert word_alignment(translator, text, nothing) == []
    assert word_alignment(translator, "  ", written) == []


def test_at_the_command_line_each_translation_has_a_line(run, tmp_path):
    path = tmp_path / "out.align"
    text = "one two\n\n" + "two " * 900 + "\ncats three"
    done = run_module("seq2seq", "translate", run, "-", "--alignments-text", path, input=text)
    assert done.returncode == 0, done.stderr
    lines, written = path.read_text().split("\n"), done.stdout.split("\n")
    assert len(lines) == len(written) == 5
    assert lines[1] == lines[2] == ""  # blank, and translated in parts
    translator = Translator.from_run(run, device="cpu")
    for line, text, out in (
        (lines[0], "one two", written[0]),
        (lines[3], "cats three", written[3]),
    ):
        ((best,),) = translator.translations([text], keep_attention=True)
        assert line == pharaoh(word_alignment(translator, text, best))
        pairs = [tuple(map(int, pair.split("-"))) for pair in line.split()]
        assert sorted(target for _, target in pairs) == list(range(len(out.split())))
        assert all(0 <= source < 2 for source, _ in pairs) and pairs == sorted(pairs)
    (tmp_path / "text").write_text("one\ntwo\n")
    options = ["--alignments-text", path, "--n-best", 2, "--prefix", "zwei"]
    done = run_here("seq2seq", "translate", run, tmp_path / "text", *options)
    assert done.stdout.count("\n") == path.read_text().count("\n") == 4


def test_alignments_that_cannot_be_written_are_refused_and_lose_nothing(run, data, tmp_path):
    text = tmp_path / "text"
    text.write_text("one\n")
    for path, message in (
        (tmp_path / "none" / "a", "there is no folder"),
        (tmp_path, "is a folder: name a file"),
        ("/dev/null", "is no regular file"),
        (text, "is the text: name another file"),
    ):
        done = run_here("seq2seq", "translate", run, text, "--alignments-text", path)
        assert (done.returncode, done.stdout) == (1, "") and message in done.stderr
    assert text.read_text() == "one\n"
    small = tiny_options(data, tmp_path / "plain", shown_sentences=0)
    decoder = replace(small.decoder, attention="none")
    train(replace(small, decoder=decoder, training=replace(small.training, epochs=1)))
    path = tmp_path / "out.align"
    done = run_here("seq2seq", "translate", tmp_path / "plain", text, "--alignments-text", path)
    assert (done.returncode, done.stdout) == (1, "") and not path.exists()
    assert "--alignments-text needs attention, and this translator has none." in done.stderr
