"""Tokenizers: the words of the metric, readable text from words, every script unharmed."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from common.errors import UserError
from common.text.tokenizer import (
    CharacterTokenizer,
    Tokenizer,
    WhitespaceTokenizer,
    WordTokenizer,
    tokenizer_from_dict,
)

PIECES = """
a dog dogs' man's isn't can't cannot gonna y'all 'tis o'clock and/or U.S. Mr. AT at&t Q&A AT&T
50% $5 3,000 1/2 9:30 10:30pm #1 # & (big) [x] "so" 'no' well... wait! hey!! what?! , ; : -- - –
t-shirt 'n' '70s 1950s 4x4 한국어 über café हिन्दी 日本語 ❤️
"""

# What Stanford's PTBTokenizer 3.4.1 (-lowerCase) gives, less the COCO caption code's punctuation;
# brackets under their own names.
PENN = [
    ("A man (with a hat) isn't here.", "a man ( with a hat ) is n't here"),
    ("It's the dog's \"big\" 'small' ball...", "it 's the dog 's big small ball"),
    ("don't can't won't DON'T isn’t", "do n't ca n't wo n't do n't is n't"),
    ("the dog 's ball do n't ca n't", "the dog 's ball do n't ca n't"),
    ("cannot. gonna, wanna gotta gimme lemme", "can not gon na wan na got ta gim me lem me"),
    ("cannot-do ain't y'all 'tis 'Twas", "cannot-do ai n't y' all 't is 't was"),
    ("o'clock ma'am O'Neil's ol' rock 'n' roll", "o'clock ma'am o'neil 's ol' rock 'n' roll"),
    ("rock'n'roll rock-n-roll", "rock 'n' roll rock-n-roll"),
    ("I'm he'd HE'S they've we'll you're", "i 'm he 'd he 's they 've we 'll you 're"),
    ("the kids' toys; 70's '70s 1950s '50s", "the kids toys 70 's '70s 1950s '50s"),
    ("Mr. Smith vs. Dr. Who etc.", "mr. smith vs. dr. who etc."),
    ("in the U.S. at Washington D.C.", "in the u.s. at washington d.c."),
    ("the U.S.A. R.V. S.C.U.B.A. USA. Ph.D.", "the u.s.a. r.v. s.c.u.b.a. usa ph.d."),
    ("5 p.m. e.g. No. 5 no.", "5 p.m. e.g. no. 5 no"),
    ("A dog in the sun. A cat sat.", "a dog in the sun a cat sat"),
    ("a car co. on the ave. in the st.", "a car co. on the ave. in the st."),
    ("red/white and/or 1/2 3.5 3,000", "red/white and/or 1/2 3.5 3,000"),
    ("$5.00 50% #1 # 1 #dog @dog", "$ 5.00 50 % # 1 # 1 #dog @dog"),
    ("a snow-covered T-shirt - brown- -like", "a snow-covered t-shirt brown like"),
    ("dog--cat a -- b dog – cat dog—cat", "dog cat a b dog cat dog cat"),
    ("bird's-eye-view dogs'-ball", "bird 's eye-view dogs ball"),
    ("an old-fashioned 4-wheeler 4x4 mp3 3-D", "an old-fashioned 4-wheeler 4x4 mp3 3-d"),
    ("9:30 10:30am 9am 10-12 -5 .5 21st", "9:30 10:30 am 9am 10-12 -5 .5 21st"),
    ("AT&T at&t Q&A rock & roll stone &amp; tile", "at&t at & t q&a rock & roll stone & tile"),
    ("bro! bro!! what?! wow... wow… . . .", "bro bro !! what ?! wow wow"),
    ("avrovulcan.com www.foo.com a@b.com", "avrovulcan.com www.foo.com a@b.com"),
    ("a man and woman.a boy dog,cat dog ,cat", "a man and woman.a boy dog cat dog cat"),
    ("RIF=ding a+b a*b", "rif = ding a + b a * b"),
    ("naïve café Über straße", "naïve café über straße"),
    ('6\'2" tall, 6" wide', "6 2 tall 6 wide"),
    ("", ""),
    (" . ' \" ", ""),
]


@pytest.mark.parametrize(("text", "words"), PENN)
def test_words_are_those_of_the_coco_caption_code(text: str, words: str) -> None:
    assert WordTokenizer().encode(text) == words.split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("한국어 문장입니다. 정말요?", ["한국어", "문장입니다", "정말요"]),
        ("갔다.그리고 나.", ["갔다", "그리고", "나"]),
        ("Ein Mädchen läßt's 'krachen'.", ["ein", "mädchen", "läßt", "'s", "krachen"]),
        ("j'aime l’eau qu'il п'ять", ["j'aime", "l'eau", "qu'il", "п'ять"]),
        ("हिन्दी में लिखा।", ["हिन्दी", "में", "लिखा"]),
        ("日本語。中文！", ["日本語", "中文"]),
        ("¿Qué? مرحبا، كيف؟", ["qué", "مرحبا", "كيف"]),
        ("a\u00a0dog\u3000here\tnow\u2028then", ["a", "dog", "here", "now", "then"]),
        ("do\u00adg c\u200bat \ufeffa\x00b", ["dog", "cat", "ab"]),
        ("I ❤️ 👩\u200d🚀", ["i", "❤️", "👩\u200d", "🚀"]),
        ("it\x92s \x93so\x94 \x96 yes\x85", ["it", "'s", "so", "yes"]),
    ],
)
def test_every_script_survives(text: str, words: list[str]) -> None:
    assert WordTokenizer().encode(text) == words


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("tokenizer", [WordTokenizer(), CharacterTokenizer()])
def test_the_way_of_typing_does_not_matter(tokenizer: Tokenizer, form) -> None:
    text = "한국어 Über café ñandú"
    tokens = tokenizer.encode(unicodedata.normalize(form, text))
    assert tokens == tokenizer.encode(text)
    assert all(unicodedata.is_normalized("NFC", token) for token in tokens)


@pytest.mark.parametrize(
    "text",
    [
        "it's the dog's ball, isn't it?",
        "they can't, I'm sure, and we cannot (yet).",
        "y'all gonna see 50% of it for $5.00!",
        "'tis the kid's rock 'n' roll t-shirt...",
        'a sign says "stop" at 9:30; a man waits: no.',
        "Mr. Smith's U.S. dog [a poodle].",
        "Ein „Stop“-Schild – und noch “eins”… mit «Guillemets».",
        "Vor- und Nachteile, die Vor-, Mit- und Nachteile.",
        "a sign that said 'free dinner' in the dogs' park, no. 5",
        "#8 turns by 360° in 2,5 min",
        "l'été d'une fille, aujourd'hui: l'eau n'est-elle pas là?",
        "나는 어제 학교에 갔다. 정말요?",
        "他说：“你好，世界。”我不知道《书》…",
        "ジョン・スミスは「コーヒー、好き？」と言った。",
    ],
)
def test_text_with_punctuation_reads_as_it_was_written(text: str) -> None:
    tokenizer = WordTokenizer(lowercase=False, punctuation=True)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_marks_are_kept_as_written_or_made_uniform() -> None:
    text = "„so“ – “so” «so» so… l’eau a‑b"
    kept = ["„", "so", "“", "–", "“", "so", "”", "«", "so", "»", "so", "…", "l'eau", "a-b"]
    assert WordTokenizer(punctuation=True).encode(text) == kept
    assert WordTokenizer().encode(text) == ["so", "so", "so", "so", "l'eau", "a-b"]


@pytest.mark.parametrize(("language", "share"), [("de", 0.99), ("en", 0.99), ("fr", 0.99)])
def test_real_text_reads_as_it_was_written(shared: Path, language: str, share: float) -> None:
    with gzip.open(shared / "multi30k" / f"val.{language}.gz", "rt", encoding="utf-8") as file:
        lines = [" ".join(line.lower().split()) for line in file]
    words, characters = WordTokenizer(punctuation=True), CharacterTokenizer(lowercase=True)
    same = sum(words.decode(words.encode(line)) == line for line in lines)
    assert same / len(lines) > share
    assert all(characters.decode(characters.encode(line)) == line for line in lines)


@given(st.lists(st.sampled_from([*PIECES.split(), "No.", "5", "x -y", '"', "“", "„", "'"])))
def test_words_that_stand_apart_are_found_apart(pieces: list[str]) -> None:
    """But for the full stop of "No. 5"."""
    for tokenizer in (WordTokenizer(), WordTokenizer(lowercase=False, punctuation=True)):
        text = " ".join(pieces).replace("No. 5", "No. x")
        words = [word for piece in text.split() for word in tokenizer.encode(piece)]
        if not re.search(r"No\. \d", text):
            assert tokenizer.encode(text) == words
    assert WordTokenizer().encode("No. 5 no. x") == ["no.", "5", "no", "x"]


def test_captions_read_well_without_punctuation() -> None:
    words = "a man 's at&t dog is n't in the u.s. ( yet ) and can not bark"
    text = "a man's AT&T dog isn't in the u.s. (yet) and cannot bark"
    assert WordTokenizer().decode(words.split()) == text
    assert WordTokenizer().decode([]) == ""
    assert WordTokenizer().decode(["'s"]) == "'s"
    assert WordTokenizer().decode(["n't", "5", "n't"]) == "n't 5 n't"


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES.split()), max_size=12))
def test_decoded_words_are_the_same_words(pieces: list[str]) -> None:
    tokenizer = WordTokenizer()
    words = tokenizer.encode(" ".join(pieces))
    assert tokenizer.encode(tokenizer.decode(words)) == words


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_clean_words(text: str) -> None:
    for tokenizer in (WordTokenizer(), WordTokenizer(lowercase=False, punctuation=True)):
        words = tokenizer.encode(text)
        assert all(word and not any(c.isspace() for c in word) for word in words)
        assert all(unicodedata.is_normalized("NFC", word) for word in words)
        assert isinstance(tokenizer.decode(words), str)


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "M", "N", "Zs"])))
def test_no_letter_is_lost(text: str) -> None:
    tokenizer = WordTokenizer(lowercase=False)
    kept = unicodedata.normalize("NFC", "".join(tokenizer.encode(text)))
    assert kept == unicodedata.normalize("NFC", "".join(text.split())).replace("\u02bc", "")


@settings(deadline=None)
@given(st.text())
def test_characters_lose_nothing(text: str) -> None:
    tokenizer = CharacterTokenizer()
    tokens = tokenizer.encode(text)
    assert all(len(token) == 1 for token in tokens)
    assert tokenizer.decode(tokens) == unicodedata.normalize("NFC", text)


@settings(deadline=None)
@given(st.text())
def test_text_that_is_tokens_already_stays_as_it_is(text: str) -> None:
    tokenizer = WhitespaceTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == " ".join(text.split())
    assert tokenizer.encode(tokenizer.decode(tokenizer.encode(text))) == tokenizer.encode(text)


def test_characters_of_korean_are_syllables() -> None:
    assert CharacterTokenizer().encode("한국 A\n") == ["한", "국", " ", "A", "\n"]
    assert CharacterTokenizer(lowercase=True).encode("ÄB") == ["ä", "b"]


@pytest.mark.parametrize(
    "tokenizer",
    [
        WordTokenizer(),
        WordTokenizer(lowercase=False, punctuation=True),
        CharacterTokenizer(),
        CharacterTokenizer(lowercase=True),
        WhitespaceTokenizer(),
    ],
)
def test_json_round_trip(tokenizer: Tokenizer) -> None:
    text = "A Dog, isn't it? Über 한국"
    again = tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert type(again) is type(tokenizer)
    assert again.to_dict() == tokenizer.to_dict()
    assert again.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"kind": "bytes"},
        {"kind": "word", "colour": True},
        {"kind": "word", "lowercase": "no"},
        {"kind": "whitespace", "lowercase": True},
    ],
)
def test_an_unknown_tokenizer_is_refused(value: object) -> None:
    with pytest.raises(UserError, match="run/config.json: "):
        tokenizer_from_dict(value, "run/config.json")


def test_hostile_text_takes_linear_time() -> None:
    for text in ("<a" * 20000, "a." * 20000, "'" * 40000, "no." + " " * 40000, "a" * 200000 + "n'"):
        WordTokenizer().encode(text)
