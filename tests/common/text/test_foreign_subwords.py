"""SentencePiece models of others: any kind, any special tokens; what is none is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece

from common.errors import UserError
from common.models.options import TextOptions
from common.text import UNK, Language, tokenizer_from_dict
from common.text.subword import SubwordTokenizer

TEXTS = ["Hello world, this is a Test.", "ein Hund rennt durch den schnee", "über <mask>"] * 9

MODELS = {
    "as it comes": {"vocab_size": 60},
    "with <pad>": {"vocab_size": 60, "pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3},
    "of T5": {"vocab_size": 60, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
    "other names": {"vocab_size": 60, "unk_piece": "[UNK]", "bos_piece": "[CLS]"},
    "bytes": {"vocab_size": 330, "byte_fallback": True, "character_coverage": 0.98},
    "own symbols": {
        "vocab_size": 70, "user_defined_symbols": ["<mask>", "<2de>"], "control_symbols": ["<cls>"],
    },
    "characters": {"vocab_size": 60, "model_type": "char"},
    "words": {"vocab_size": 40, "model_type": "word"},
    "blank at the end": {"vocab_size": 60, "treat_whitespace_as_suffix": True},
    "BPE": {"vocab_size": 60, "model_type": "bpe"},
}  # fmt: skip


def write_model(path: Path, texts=TEXTS, **settings: object) -> Path:
    """A model as SentencePiece's own trainer writes it, with its usual normalization."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, hard_vocab_limit=False, minloglevel=2,
        **{"vocab_size": 60} | settings,
    )  # fmt: skip
    path.write_bytes(model.getvalue())
    return path


@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
def test_any_model_encodes_and_decodes(tmp_path, settings):
    tokenizer = SubwordTokenizer.read(write_model(tmp_path / "any.model", **settings))
    for text in ["Hello Hund", "ein Test.", "schnee 漢字 é", "", "a  <s> </s> b"]:
        again = tokenizer.decode(tokenizer.encode(text))
        assert again == " ".join(text.split())
    special = {"<s>", "</s>", "<unk>", "<pad>", "[UNK]", "[CLS]", "<cls>"}
    assert not special & set(tokenizer.pieces) and len(set(tokenizer.pieces)) > 10
    kept = tokenizer_from_dict(tokenizer.to_dict())
    assert kept.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def test_bytes_become_characters_again_and_what_is_none_is_marked(tmp_path):
    tokenizer = SubwordTokenizer.read(write_model(tmp_path / "b.model", **MODELS["bytes"]))
    assert "<0xE6>" in tokenizer.encode("漢")
    assert tokenizer.decode(["▁", "<0xE6>", "<0xBC>", "<0xA2>", "▁a"]) == "漢 a"
    assert tokenizer.decode(["▁", "<0xE6>", "▁a"]) == "\ufffd a"


def test_the_vocabulary_is_what_the_training_text_has_of_the_model(tmp_path):
    path = write_model(tmp_path / "own.model")
    options = TextOptions(
        tokenizer="subwords", subword_model=str(path), lowercase=False, vocabulary_size=5
    )
    language = options.learn(lambda task: ["ein Hund", "ein 漢字"])
    pieces = set(SubwordTokenizer.read(path).pieces)
    words = set(language.vocabulary.tokens[4:])
    assert words == {p for t in ("ein Hund", "ein") for p in language.tokenizer.encode(t)} < pieces
    assert language.vocabulary.counts[UNK] == 1  # the model has no such character
    assert isinstance(language, Language) and language.decode(language.encode("Hund")) == "Hund"
    assert not language.tokenizer.lowercase


@pytest.mark.parametrize(
    "content", [b"", b"hello world\n", b'{"a": 1}', b"\0" * 99, b"\x0a\xff\xff\xff\xff\xff\x0f"]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "odd.model").write_bytes(content)
    with pytest.raises(UserError, match=r"\A.*odd\.model: no SentencePiece model.*\Z"):
        SubwordTokenizer.read(tmp_path / "odd.model")


def test_a_model_that_is_cut_off_anywhere_is_refused(tmp_path):
    whole = write_model(tmp_path / "whole.model", model_type="bpe").read_bytes()
    path = tmp_path / "cut.model"
    ends = [*range(1, 1500), *range(1500, len(whole), 997), len(whole) - 1]
    for end in ends:
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match="or a damaged one"):
            SubwordTokenizer.read(path)
    path.write_bytes(whole)
    SubwordTokenizer.read(path)


def test_models_are_refused_before_text_is_read(tmp_path):
    path = write_model(tmp_path / "own.model")
    TextOptions(tokenizer="subwords", subword_model=str(path)).check_files()
    TextOptions(tokenizer="subwords", subword_model="unigram").check_files()
    for options, message in (
        (TextOptions(tokenizer="words", subword_model=str(path)), "is for --tokenizer subwords"),
        (TextOptions(tokenizer="subwords", subword_model="bep"), "bep: there is no such file"),
        (TextOptions(tokenizer="subwords", subword_model=str(tmp_path)), "no such file"),
        (TextOptions(tokenizer="subwords", subword_model=__file__), "no SentencePiece model"),
    ):
        with pytest.raises(UserError, match=message):
            options.check_files()
