"""Subwords: nothing of a text is lost, the same text gives the same pieces, draws are fair."""

from __future__ import annotations

import gzip
import itertools
import json
import pickle
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from common.errors import UserError
from common.text import UNK, Vocabulary, tokenizer_from_dict
from common.text.subword import SPACE, SubwordModel, SubwordTokenizer

KINDS: tuple[SubwordModel, ...] = ("bpe", "unigram")
SUBJECTS = ["Der Hund", "Ein Mädchen", "Die Hündin", "한국 사람", "나는 친구", "A man, 12"]
VERBS = ["läuft", "rennt durch", "sitzt auf", "학교에 갔다", "밥을 먹는다", "isn't in"]
ENDS = [" den Park.", " die Straße!", " „das Haus“?", " 어제 오후에.", " the wheelchair;"]
SENTENCES = [subject + " " + verb + end for subject in SUBJECTS for verb in VERBS for end in ENDS]
# Words of syllables, in which a unigram model finds something to learn.
WORDS = [
    "".join(syllables)
    for count in (1, 2, 3)
    for syllables in itertools.product(["la", "ne", "ko", "ri", "par"], repeat=count)
]
TEXTS = SENTENCES + [" ".join(WORDS[n :: len(WORDS) // 6]) for n in range(len(WORDS) // 6)]


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, SubwordTokenizer]:
    return {kind: SubwordTokenizer.train(TEXTS, 200, kind=kind) for kind in KINDS}


def _written(text: str) -> str:
    """A text as its pieces must give it back."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_gives_the_text_back(tokenizers: dict[str, SubwordTokenizer], kind: str) -> None:
    tokenizer = tokenizers[kind]
    for text in [*TEXTS, "", " ", "\n", "a  b\tc\u00a0d\u2028e\u3000f", "ﬁ ① Ａ ½ ｶﾞ ㎏"]:
        pieces = tokenizer.encode(text)
        assert tokenizer.decode(pieces) == _written(text)
        assert not any(piece.isspace() or " " in piece or not piece for piece in pieces)
    assert tokenizer.encode("") == tokenizer.encode(" \n\t") == []


@settings(deadline=None, max_examples=300)
@given(text=st.text())
def test_any_text_comes_back(tokenizers: dict[str, SubwordTokenizer], text: str) -> None:
    for tokenizer in tokenizers.values():
        again = tokenizer.decode(tokenizer.encode(text))
        assert tokenizer.decode(tokenizer.encode(again)) == again
        if text.isprintable():
            assert again == _written(text).replace(SPACE, "_")


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text(tokenizers: dict[str, SubwordTokenizer], kind: str) -> None:
    tokenizer = tokenizers[kind]

    def again(text: str) -> str:
        return tokenizer.decode(tokenizer.encode(text))

    assert again("<s> </s> <unk> <pad> ⁇") == "<s> </s> <unk> <pad> ⁇"
    assert again(f"a{SPACE}b {SPACE}") == "a_b _"
    assert again("do\u00adg \ufeffa\x00b\x1b[0m c\u200bat\r") == "dog ab[0m cat"
    assert again("half \ud800 of one") == "half \ufffd of one"
    assert again("hund" * 25_000) == "hund" * 25_000
    assert again("ein hund " * 11_000) == ("ein hund " * 11_000).strip()
    assert again("日本語 Пёс 👩\u200d🚀 हिन्दी") == "日本語 Пёс 👩\u200d🚀 हिन्दी"


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_of_typing_does_not_matter(
    tokenizers: dict[str, SubwordTokenizer], kind: str
) -> None:
    for text in TEXTS:
        apart = unicodedata.normalize("NFD", text)
        assert tokenizers[kind].encode(apart) == tokenizers[kind].encode(text)


def test_lower_case_is_that_of_the_text() -> None:
    tokenizer = SubwordTokenizer.train(TEXTS, 200, lowercase=True)
    assert not any(piece != piece.lower() for piece in tokenizer.pieces)
    assert tokenizer.decode(tokenizer.encode("Die STRASSE Über")) == "die strasse über"


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_of_the_pieces_knows_every_training_text(kind: SubwordModel) -> None:
    tokenizer = SubwordTokenizer.train(iter(TEXTS), 100, kind=kind)
    vocabulary = Vocabulary(tokenizer.pieces)
    assert len(vocabulary) == 100
    for text in TEXTS:
        ids = vocabulary.encode(tokenizer.encode(text))
        assert UNK not in ids
        assert tokenizer.decode(vocabulary.decode(ids)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_character_never_seen_is_a_piece_as_it_was_written(
    tokenizers: dict[str, SubwordTokenizer], kind: str
) -> None:
    assert tokenizers[kind].encode("Ж") == [SPACE, "Ж"]
    assert "Ж" not in tokenizers[kind].pieces


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_deterministic(kind: SubwordModel) -> None:
    first, again = (SubwordTokenizer.train(TEXTS, 120, kind=kind) for _ in range(2))
    assert first.model == again.model


def test_of_many_texts_a_random_sample_is_learnt_from() -> None:
    texts = [chr(0xAC00 + n) for n in range(1000)]
    first, again = (SubwordTokenizer.train(iter(texts), 2000, max_texts=200) for _ in range(2))
    assert first.model == again.model
    learnt = sorted(texts.index(piece) for piece in set(first.pieces) - {SPACE} if piece in texts)
    assert len(learnt) == 200 and 400 < sum(learnt) / 200 < 600


def test_a_small_text_has_fewer_pieces() -> None:
    for kind in KINDS:
        tokenizer = SubwordTokenizer.train(["ein hund", "ein haus"], 8000, kind=kind)
        assert 8 <= len(tokenizer.pieces) < 40


def test_what_cannot_be_learnt_is_explained(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"12 subwords have no room .* at least ([\d,]+)") as info:
        SubwordTokenizer.train(TEXTS, 12)
    least = int(str(info.value).split("at least ")[1].rstrip("."))
    SubwordTokenizer.train(TEXTS, least)
    with pytest.raises(UserError, match="no room"):
        SubwordTokenizer.train(TEXTS, least - 1)
    for nothing in ([], ["", " \n"]):
        with pytest.raises(UserError, match="it is empty"):
            SubwordTokenizer.train(nothing, 100)
    assert capfd.readouterr() == ("", "")


def test_a_long_line_is_learnt_from_and_an_error_of_the_reader_comes_through() -> None:
    tokenizer = SubwordTokenizer.train(["q" + "ein hund " * 11_000 + "z"], 60)
    assert {"q", "z"} <= set("".join(tokenizer.pieces))

    def damaged():
        yield from TEXTS
        raise UserError("train.de:181: not UTF-8 text.")

    with pytest.raises(UserError, match="181"):
        SubwordTokenizer.train(damaged(), 100)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_restored_from_json_and_by_another_process(
    tokenizers: dict[str, SubwordTokenizer], kind: str
) -> None:
    tokenizer = tokenizers[kind]
    value = json.loads(json.dumps(tokenizer.to_dict()))
    for again in (tokenizer_from_dict(value), pickle.loads(pickle.dumps(tokenizer))):
        assert isinstance(again, SubwordTokenizer)
        assert again.to_dict() == tokenizer.to_dict()
        assert again.pieces == tokenizer.pieces
        assert [again.encode(text) for text in TEXTS] == [tokenizer.encode(t) for t in TEXTS]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "!"}, "damaged"),
        ({"model": ""}, "damaged"),
        ({"sha256": "0"}, "damaged"),
        ({"model": None}, "no options"),
        ({"model": 5}, "no options"),
        ({"lowercase": "no"}, "no options"),
        ({"colour": True}, "no options"),
    ],
)
def test_a_damaged_model_is_refused(
    tokenizers: dict[str, SubwordTokenizer], change: dict[str, object], message: str
) -> None:
    value = {**tokenizers["bpe"].to_dict(), **change}
    with pytest.raises(UserError, match=f"run/tokenizer.json: .*{message}"):
        tokenizer_from_dict(value, "run/tokenizer.json")
    # Part of a model may be a smaller one, which would go unnoticed.
    value = tokenizers["bpe"].to_dict()
    value["model"] = value["model"][:400]
    with pytest.raises(UserError, match="damaged"):
        tokenizer_from_dict(value, "run/tokenizer.json")
    for data in (b"", b"garbage"):
        with pytest.raises(ValueError, match="no SentencePiece model"):
            SubwordTokenizer(data)


def test_real_text_comes_back(shared: Path) -> None:
    with gzip.open(shared / "multi30k" / "val.de.gz", "rt", encoding="utf-8") as file:
        lines = [_written(line) for line in file]
    for kind in KINDS:
        tokenizer = SubwordTokenizer.train(lines, 2000, kind=kind)
        assert len(Vocabulary(tokenizer.pieces)) == 2000
        assert [tokenizer.decode(tokenizer.encode(line)) for line in lines] == lines
