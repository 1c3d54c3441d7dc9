"""Scripts that put no blanks between words: Chinese, Japanese, Thai and their like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

# Thai, Lao, Tibetan and Myanmar; Khmer; Tai; Han, kana and bopomofo; Yi; Javanese. Not Hangul: Korean
# has blanks. Vowel signs and tone marks are among them.
SIGN = (
    "[\u0e00-\u109f\u1780-\u17ff\u1950-\u1aaf\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u312f"
    "\u31a0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\ua980-\ua9ff\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]"
)
_SIGN = re.compile(SIGN)
_LETTER = re.compile(rf"[^\W\d_]|{SIGN}")
_DIVIDED = re.compile(rf"{SIGN}[ \t\u3000]+(?={SIGN})")
_PARTS = re.compile(rf"{SIGN}|(?:(?!{SIGN}).)+", re.DOTALL)

_ENOUGH = 1000  # texts that are looked at
_PHRASE = 10  # a blank after so many signs, or more, stands between phrases


def written_without_blanks(texts: Iterable[str]) -> bool:
    """Whether texts are written in a script without blanks between words.

    Most of their letters are signs of such a script, and hardly a blank stands between two signs: a
    text whose words were put apart is not one of them. The first thousand decide.
    """
    text = "\n".join(islice(texts, _ENOUGH))
    signs = len(_SIGN.findall(text))
    divided = len(_DIVIDED.findall(text))
    return 2 * signs > len(_LETTER.findall(text)) and _PHRASE * divided < signs


def sign_by_sign(words: Iterable[str]) -> list[str]:
    """Words in which each sign of such a script is a word of its own; all others stay as they are."""
    return [part for word in words for part in _PARTS.findall(word)]
