"""The encodings of text files: which one is named, which one a file shows, and which ones would fit."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain

from common.errors import UserError

# Those in use for text that is not Unicode; of two that give the same text, the first is named.
WIDE = ("cp949", "cp932", "euc_jp", "gb18030", "big5")  # two bytes for a sign
USUAL = (
    *(*WIDE, "cp1252", "cp1250", "cp1255", "cp1251", "koi8_r", "cp866", "cp1253", "cp1256"),
    *("cp1254", "cp1257", "cp1258", "cp874"),
)
_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
UNDECODED = b"\xff\xfe"  # which is no UTF-8
_SAMPLE = 1 << 20  # bytes by which an encoding is judged
_NAMED: ContextVar[str | None] = ContextVar("encoding", default=None)  # "": none, but it can be


def check_encoding(name: str) -> str:
    """The usual name of an encoding of text.

    Raises:
        UserError: Python has no such encoding of text.
    """
    try:
        found = codecs.lookup(name)
        "".encode(name)  # refuses what is no encoding of text, as zlib
    except (LookupError, UnicodeError, ValueError):
        raise UserError(
            f"--encoding {name}: there is no such encoding. Some are utf-8, utf-16, cp949, euc-kr, "
            "shift_jis, gb18030, big5, latin-1, cp1252 and cp1251."
        ) from None
    return found.name


@contextmanager
def text_encoding(name: str | None) -> Iterator[None]:
    """Within the block, the text files that are opened are read in this encoding; None: in UTF-8, or
    in UTF-16 or UTF-32 where a file shows it.

    It reaches every reader of text files, also those of one's own formats.

    Raises:
        UserError: Python has no such encoding of text.
    """
    token = _NAMED.set("" if name is None else check_encoding(name))
    try:
        yield
    finally:
        _NAMED.reset(token)


def named_encoding() -> str | None:
    """That of the block, see `text_encoding`; empty if it has none, and None outside of any block."""
    return _NAMED.get()


def shown_encoding(start: bytes) -> tuple[str, int]:
    """The encoding that the first bytes of a text file show, and how many of them are its mark.

    UTF-16 and UTF-32 are known by their marks; UTF-16 also without one, by the zero bytes that no other
    text has: in its blanks, digits and line ends, at least.
    """
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name, len(mark)
    zeros = [start[side::2].count(0) for side in (0, 1)]
    # A zero byte in UTF-8 is damage, and alone.
    enough = sum(zeros) > len(start) / 5 or _decoded(start, "utf-8") is None
    if len(start) > 3 and max(zeros) > 4 * min(zeros) and enough:
        name = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        text = start[: len(start) // 2 * 2].decode(name, errors="ignore")
        if text and not any(unicodedata.category(each) in ("Cc", "Cn", "Co") for each in text
                            if each not in "\t\r\n\f\v"):  # fmt: skip
            return name, 0
    return "utf-8", 0


def fitting(lines: Iterable[bytes]) -> list[str]:
    """Usual encodings in which all of a text can be read, and looks like one; at most three."""
    sample, size = [], 0  # of what is not ASCII
    names = list(USUAL)
    for line in lines:
        if line.isascii():
            continue
        names = [name for name in names if _decoded(line, name) is not None]
        if size < _SAMPLE:
            sample.append(line)
            size += len(line)
    found: dict[str, str] = {}  # by the text
    for name in names:
        text = b"".join(sample).decode(name)
        if _is_plausible(text, name):
            found.setdefault(text, name)
    wide = [name for name in found.values() if name in WIDE]  # which no chance makes plausible
    return (wide or list(found.values()))[:3]


def recoded(lines: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Lines of a file in some encoding as UTF-8, those that cannot be decoded with `UNDECODED` at the
    end, before the line's end.

    Args:
        lines: the file, divided after each byte that is a line end in ASCII.
        name: of the encoding.
    """
    if _extends_ascii(name):
        for line in lines:
            text = _decoded(line, name)
            broken = line.decode(name, "replace").rstrip("\r\n").encode() + UNDECODED + b"\n"
            yield broken if text is None else text.encode()
        return
    unicode = name.startswith("utf")
    errors = "surrogatepass" if unicode else "surrogateescape"
    decoder, rest = codecs.getincrementaldecoder(name)(errors), ""
    try:
        for line in chain(lines, [b""]):
            rest += decoder.decode(line, final=not line)
            *whole, rest = rest.split("\n")
            yield from (f"{each}\n".encode(errors=errors) for each in whole)
            if len(rest) > _SAMPLE:  # which the caller refuses
                break
    except UnicodeDecodeError:
        yield rest.encode(errors=errors) + UNDECODED
        return
    if rest:
        yield rest.encode(errors=errors)


def _decoded(line: bytes, name: str) -> str | None:
    try:
        return line.decode(name)
    except UnicodeDecodeError:
        return None


def _extends_ascii(name: str) -> bool:
    """Whether each line can be decoded by itself: what ASCII has is the same, and has no other use."""
    ascii = bytes(range(128))
    return _decoded(ascii, name) == ascii.decode() and not name.startswith("hz")


# Chinese text in another encoding's hands is rare characters; in its own, these are many.
_FREQUENT = frozenset(
    "的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学"
    "這來個國說們為時會過學對開後吃嗎麼請見今天明很好没沒都看想水"
)
_SCRIPTS = (
    "LATIN",
    "CYRILLIC",
    "GREEK",
    "HEBREW",
    "ARABIC",
    "THAI",
    "HANGUL",
    "HIRAGANA",
    "KATAKANA",
)
_HOME = {  # the script that a text in an encoding is written in, besides Latin
    "cp949": "HANGUL", "cp932": "KANA", "euc_jp": "KANA", "gb18030": "CJK", "big5": "CJK",
    "cp1251": "CYRILLIC", "koi8_r": "CYRILLIC", "cp866": "CYRILLIC",
    "cp1253": "GREEK", "cp1255": "HEBREW", "cp1256": "ARABIC", "cp874": "THAI",
}  # fmt: skip


def _is_plausible(text: str, encoding: str) -> bool:
    """Whether what is beyond ASCII is of the script that the encoding is for, in words of one script
    and one case."""
    beyond = Counter(each for each in text if each > "\x7f")
    letters = Counter(_script(each) for each in beyond.elements())
    total, home = beyond.total(), _HOME.get(encoding, "LATIN")
    if not total or any(unicodedata.category(each) in ("Cc", "Cn", "Co", "Cs") for each in beyond):
        return False
    if home == "KANA":
        return letters["KANA"] >= 0.2 * total and letters["KANA"] + letters["CJK"] >= 0.6 * total
    if home == "CJK":
        frequent = sum(count for each, count in beyond.items() if each in _FREQUENT)
        return (
            letters["KANA"] + letters["HANGUL"] < 0.05 * total
            and frequent >= 0.1 * letters["CJK"] > 0
        )
    if letters[home] < 0.6 * total:
        return False
    text = "".join(each for each in text if unicodedata.category(each)[0] != "M")
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    if home == "LATIN" and letters[home] > 0.5 * sum(map(len, words)):
        return False
    odd = sum(map(_is_odd, words))
    signs = len(re.findall(r"(?<=[^\W\d_])[^\w\s\x00-\x7f’‘”“–—…·­]|[²³¹¼½¾ªº](?=[^\W\d_])", text))
    return odd + signs <= 0.05 * len(words)


def _is_odd(word: str) -> bool:
    """A word of two scripts, or with a capital after a small letter."""
    scripts = {_script(each) for each in word} - {""}
    return len(scripts) > 1 or re.search("[a-zß-ÿа-яα-ω][A-ZÀ-ÞА-ЯΑ-Ω]", word) is not None


def _script(sign: str) -> str:
    if sign.isascii():
        return "LATIN" if sign.isalpha() else ""
    name = unicodedata.name(sign, "")
    if name.startswith("CJK UNIFIED"):
        return "CJK"
    script = next((each for each in _SCRIPTS if name.startswith(each)), "")
    return "KANA" if script in ("HIRAGANA", "KATAKANA") else script
