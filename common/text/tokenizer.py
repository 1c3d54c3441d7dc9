"""Words, characters, or what stands between blanks: from text to tokens, and back to text."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from common.errors import UserError
from common.text.subword import INVISIBLE, SubwordTokenizer


class Tokenizer(Protocol):
    """Splits a text into tokens, and joins tokens into a text."""

    def encode(self, text: str) -> list[str]:
        """The tokens of a text."""
        ...

    def decode(self, tokens: Sequence[str]) -> str:
        """The text of tokens, with the usual spacing."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON for `tokenizer_from_dict`."""
        ...


class WordTokenizer:
    """The words of the COCO caption metrics: Penn Treebank words, lower-case, no punctuation.

        It's the dog's "T-shirt", isn't it?   ->   it 's the dog 's t-shirt is n't it

    Reproduces Stanford's PTBTokenizer 3.4.1 on captions, and then drops the punctuation that the
    COCO caption code drops: brackets, `&`, `%`, `!!` remain as words. Hyphenated words stay whole.
    Known differences, rare in English captions: brackets and currency signs are kept as written
    (`(`, not `-lrb-`), an apostrophe between letters stays in the word unless it begins an English
    contraction (`j'aime`), and punctuation of other scripts is dropped as well.

    Args:
        lowercase: fold to lower case, after the words are found (`AT&T` is one word).
        punctuation: keep the punctuation that the metrics drop, each mark as its own token and as
            it is written (\u201e \u201c \u00ab \u2013 are not made into `"` and `--`); only the
            hyphen of `Vor- und Nachteile` stays with its word. For text that a model generates.
    """

    def __init__(self, *, lowercase: bool = True, punctuation: bool = False) -> None:
        self.lowercase = lowercase
        self.punctuation = punctuation

    def encode(self, text: str) -> list[str]:
        """The words of a text in any script, composed (NFC); none is empty or holds a space."""
        if not text.isascii() or not text.isprintable():
            text = text.translate(_AS_WRITTEN if self.punctuation else _UNIFORM)
            text = unicodedata.normalize("NFC", text)
        if "&" in text:
            text = _ENTITY.sub(lambda match: _ENTITIES[match[1]], text)
        # What stands between blanks is tokenized alone, and so cached; "no. 5" is an exception.
        parts = [text] if _NUMBERED.search(text) else text.split()
        tokens: list[str] = []
        for part in parts:
            find = _find_cached if len(part) <= _LONGEST_CACHED else _find
            tokens += find(part, self.lowercase, self.punctuation)
        return tokens

    def decode(self, tokens: Sequence[str]) -> str:
        """Join words with the usual spacing: clitics and punctuation attached to their words."""
        text = ""
        glue = True  # whether the next token is attached without a space
        quote = single = False  # whether a double quotation mark is open, a single one
        previous = ""
        for place, token in enumerate(tokens):
            low = token.lower()
            after, glue = glue, token in _OPENING or low in ("y'", "'t")
            joined = _joins_left(low, previous) or (previous.lower(), low) in _ONE_WORD
            if token in _QUOTES:
                joined, quote = quote and token != "\u201e", not quote or token == "\u201e"
                glue = quote
            elif token == "'":
                single = not single and _opens(tokens, place)
                joined, glue = not single, single
            elif token == "-" and previous in _QUOTES and not quote and place + 1 < len(tokens):
                joined = glue = True  # ein "Stop"-Schild
            joined = joined or _has_own_blank(previous, token)
            # AT&T is one word only in capitals: encoded again, it gives the same token.
            written = token.upper() if _JOINED_CAPITALS.fullmatch(token) else token
            text += written if after or joined else " " + written
            previous = token
        return text

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON for `tokenizer_from_dict`."""
        return {"kind": "word", "lowercase": self.lowercase, "punctuation": self.punctuation}


class WhitespaceTokenizer:
    """What stands between blanks: for text that is tokens already, which stays as it is.

    C ( = O ) O   ->   C ( = O ) O
    """

    def encode(self, text: str) -> list[str]:
        """The tokens of a text."""
        return text.split()

    def decode(self, tokens: Sequence[str]) -> str:
        """The tokens, with a blank between them."""
        return " ".join(tokens)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON for `tokenizer_from_dict`."""
        return {"kind": "whitespace"}


class CharacterTokenizer:
    """Every character a token, space and line end included: nothing is lost.

    Characters are those of Unicode's composed form (NFC): a Korean syllable, or a letter with its
    accent, is one token however it was typed.

    Args:
        lowercase: fold to lower case.
    """

    def __init__(self, *, lowercase: bool = False) -> None:
        self.lowercase = lowercase

    def encode(self, text: str) -> list[str]:
        """The characters of a text."""
        # Lower case can take a composed letter apart, so it comes first.
        return list(unicodedata.normalize("NFC", text.lower() if self.lowercase else text))

    def decode(self, tokens: Sequence[str]) -> str:
        """The text of the characters."""
        return "".join(tokens)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON for `tokenizer_from_dict`."""
        return {"kind": "character", "lowercase": self.lowercase}


_KINDS: dict[str, Callable[..., Tokenizer]] = {
    "word": WordTokenizer, "character": CharacterTokenizer, "whitespace": WhitespaceTokenizer,
}  # fmt: skip


def tokenizer_from_dict(value: Any, where: str = "tokenizer") -> Tokenizer:
    """Rebuild the tokenizer that `to_dict` described.

    Args:
        value: the JSON value.
        where: its file, for the message.

    Raises:
        UserError: it describes no tokenizer of this version.
    """
    options = dict(value) if isinstance(value, dict) else {}
    kind = str(options.pop("kind", None))
    try:
        if kind == "subword":
            return SubwordTokenizer.from_dict(value)
        if kind in _KINDS:
            if not all(type(option) is bool for option in options.values()):
                raise TypeError("each must be true or false")
            return _KINDS[kind](**options)
    except TypeError as error:
        raise UserError(f"{where}: no options of a {kind} tokenizer: {error}.") from None
    except ValueError as error:
        raise UserError(f"{where}: {error}. Restore the file that the run wrote.") from None
    raise UserError(f"{where}: unknown tokenizer {kind!r}. Was it written by a newer version?")


# One spelling for each punctuation mark; codes 0x80 to 0x9F are Windows-1252 read as Latin-1.
_UNIFORM: dict[int, str | None] = {
    **INVISIBLE,
    **dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u2032\x91\x92"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u2033\u00ab\u00bb\x93\x94"), '"'),
    **dict.fromkeys(map(ord, "\u2013\u2014\u2015\x96\x97"), "--"),
    **dict.fromkeys(map(ord, "\u2010\u2011"), "-"),
    **dict.fromkeys(map(ord, "\u2026\x85"), "..."),
}

# With `punctuation`, quotation marks, dashes and ellipses stay as they are written.
_AS_WRITTEN = {
    code: sign for code, sign in _UNIFORM.items() if sign not in ('"', "--", "...") or code < 0xA0
}

# HTML entities are frequent in caption files.
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"'}
_ENTITY = re.compile("&(amp|lt|gt|quot);")

_DROPPED = frozenset(
    ["''", "'", "``", "`", '"', ".", "..", "...", "?", "!", ",", ":", ";", "-", "--", "---"]
    + list("\u00a1\u00bf\u2039\u203a\u060c\u061b\u061f\u0964\u0965")
    + list("\u3001\u3002\u300c\u300d\u300e\u300f\uff01\uff0c\uff0e\uff1a\uff1b\uff1f\uff61")
)
_CLITICS = frozenset(["'s", "'d", "'m", "'ll", "'re", "'ve"])
_ONE_WORD = frozenset(
    [("can", "not"), ("gon", "na"), ("wan", "na"), ("got", "ta"), ("gim", "me"), ("lem", "me")]
)
_JOINED_CAPITALS = re.compile("[a-z]+(&[a-z]+)+")
_WIDE_MARK = (
    "[\u3001-\u3003\u3008-\u3011\u3014-\u301f\u30fb"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff3e\uff5b-\uff65]"
)
_HAN = "[\u3005-\u3007\u3041-\u30fa\u30fc-\u30ff\u3400-\u9fff\uf900-\ufaff]"  # and kana
_QUOTE = '["\u201c\u201d]'
_UNSPACED = re.compile(
    rf"{_WIDE_MARK}. | .{_WIDE_MARK} | {_HAN}{_QUOTE} | {_QUOTE}{_HAN}", re.VERBOSE | re.DOTALL
)
_QUOTES = frozenset('"\u201c\u201d\u201e\u00ab\u00bb')
_OPENING = frozenset("([{$\u00a3\u00a5\u20ac\u00a1\u00bf\u300c\u300e")
_CLOSING = frozenset(
    ".,;:?!)]}%'\u2026\u060c\u061b\u061f\u0964\u0965\u3001\u3002\u300d\u300f\uff01\uff0c\uff1a\uff1b\uff1f"
)


def _joins_left(token: str, previous: str) -> bool:
    if token == "n't":
        return previous.isalpha()
    if previous == "#" and token[0].isdigit() or token == "\u00b0" and previous[-1:].isdigit():
        return True  # #8, 360 degrees
    return token in _CLITICS or all(character in _CLOSING for character in token)


def _has_own_blank(previous: str, token: str) -> bool:
    """Whether Chinese and Japanese put no blank between two tokens: their marks are as wide as one."""
    return _UNSPACED.fullmatch(previous[-1:] + token[:1]) is not None


def _opens(tokens: Sequence[str], place: int) -> bool:
    """Whether a single quotation mark opens: another follows, and it is not the one of `dogs'`."""
    if tokens[place - 1 : place] and tokens[place - 1].endswith("s"):
        return False
    following = tokens[place + 1 : place + 2]
    # Attached to some words, it would be a clitic when the text is encoded again.
    return "'" in tokens[place + 2 :] and _find("'" + following[0], False, True)[0] == "'"


def _find(text: str, lowercase: bool, punctuation: bool) -> tuple[str, ...]:
    """The words of a normalized text."""
    tokens = _pattern(punctuation).findall(text)
    if not punctuation:
        tokens = [token for token in tokens if token not in _DROPPED]
    return tuple(token.lower() for token in tokens) if lowercase else tuple(tokens)


_find_cached = functools.lru_cache(1 << 15)(_find)
_LONGEST_CACHED = 40
_NUMBERED = re.compile(r"\.\s\s*+\d")


# Each line is one kind of word; the first that matches is taken. {W} is a letter, digit or
# combining mark of any script, {L} a letter, {M} a combining mark.
_WORDS = r"""
    (?: https?:// | www\. ) [^\s<>"]* [\w/]                       # an address
  | </? [A-Za-z] [^\s<>]* >                                       # a tag
  | [A-Z]++ (?: & [A-Z]++ )+                                      # AT&T
  | (?: [A-Za-z]\. )++ (?: - {W}+ | (?!{W}) )                     # U.S.  e.g.  J.  U.S.-based
  | (?i: ph\.d | {ABBREVIATIONS} ) \. (?!{W})                     # Mr.  etc.
  | (?i: nos? | figs? | art | op | prop ) \. (?=\s*\d)            # no. 5
  | (?i: can (?=not) | gon (?=na) | wan (?=na) | got (?=ta) | gim (?=me) | lem (?=me) )
        (?= (?: not | na | ta | me )(?!['-]?{W}) )                # can|not, gon|na
  | (?i: {L}+ (?= n't (?!{W}) ) | n't (?!{W}) )                   # is|n't
  | (?i: y' (?=all(?!{W})) | 't (?=(?:is|was)(?!{W})) )           # y'|all, 't|is
  | (?i: 'n' | ' (?: {CLITICS} | n ) (?!{W}) )                    # rock|'n'|roll, dog|'s
  | (?<! \w ) ' (?i: em | til | cause | [2-9]0s | \d\d (?!') ) (?!{W})
  | (?i: o[lh]' | cap'n | ma'am ) (?!{W})
  | \d{{1,2}}:\d\d (?=[ap]\.?m)                                   # 5:30|pm
  | [-+]? \.? \d++ (?: [.,:/-] \d++ )*+ (?! -?{W} )               # 1,000  1/2  -5  555-1234
  {HYPHENS}
  | {W}++ (?: (?: [-/@] | (?<=\d)[.,:](?=\d) | (?<=[A-Za-z])\.(?=[A-Za-z])
        | (?<={L})' (?! (?i:{CLITICS}|n)(?!{W}) ) (?={L}) ) {W}++ )*+
  | [#@] {L} {W}*                                                 # a handle
  | [!?]{{2,}} | \*{{2,}}
  | \.{{2,3}} | -{{2,3}}
  | \S {M}*                                                       # any other sign
"""
_ABBREVIATIONS = (
    "mr mrs ms dr jr sr st ste prof gen sgt lt col gov sen sens rep reps rev hon pres capt cpl adm "
    "messrs supt vs etc est dept tel ft mt al alex bros co corp inc ltd conn penn mich mo neb wis "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri ave blvd rd"
)


@functools.cache
def _pattern(hyphens: bool) -> re.Pattern[str]:
    """The regular expression of a word; `hyphens` keeps the one of `Vor- und Nachteile`."""
    marks = _combining_marks()
    word = rf"[\w{marks}]"
    return re.compile(
        _WORDS.format(
            HYPHENS=rf"| {word}++ (?: - {word}++ )*+ - (?![^\s,)])" if hyphens else "",
            W=word,
            M=rf"[{marks}]",
            L=r"[^\W\d_]",
            CLITICS="s|d|m|ll|re|ve",
            ABBREVIATIONS=_ABBREVIATIONS.replace(" ", "|"),
        ),
        re.VERBOSE,
    )


def _combining_marks() -> str:
    r"""A character class (without brackets) of the marks and joiners that `\w` lacks.

    Without them words of Indic scripts would be split.
    """
    codes = (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))
    marks = (chr(code) for code in codes if unicodedata.category(chr(code)).startswith("M"))
    return "\u200c\u200d" + "".join(marks)
