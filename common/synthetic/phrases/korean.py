"""Rules for Korean word forms: particles, which depend on the last sound, and conjugation.

Syllables are decomposed by Unicode's formula (chapter 3.12): a syllable is
0xAC00 + (initial * 21 + vowel) * 28 + final, where final 0 is none.
"""

from __future__ import annotations

from dataclasses import dataclass

_FIRST = 0xAC00
_SYLLABLES = 19 * 21 * 28
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_BRIGHT = "ㅏㅑㅗ"  # vowel harmony: 았 after these, 었 after all others

# The contraction of the last vowel of a stem with the vowel of 았/었.
_CONTRACTED = {
    "ㅏ": "ㅏ", "ㅓ": "ㅓ", "ㅐ": "ㅐ", "ㅔ": "ㅔ", "ㅕ": "ㅕ",
    "ㅗ": "ㅘ", "ㅜ": "ㅝ", "ㅣ": "ㅕ", "ㅚ": "ㅙ",
}  # fmt: skip
_OPENED = {"ㅏ": "ㅐ", "ㅓ": "ㅔ", "ㅑ": "ㅒ"}  # the same where a ㅎ is dropped: 빨갛 + 았 = 빨갰

_PARTICLES = {  # after a consonant, after a vowel
    "topic": ("은", "는"),
    "subject": ("이", "가"),
    "object": ("을", "를"),
    "and": ("과", "와"),
    "by": ("으로", "로"),
}


def split_syllable(syllable: str) -> tuple[int, str, str]:
    """The initial (as a number), the vowel and the final consonant (or a blank) of a syllable.

    Raises:
        ValueError: it is not one Korean syllable.
    """
    code = ord(syllable) - _FIRST if len(syllable) == 1 else -1
    if not 0 <= code < _SYLLABLES:
        raise ValueError(f"{syllable!r} is not one Korean syllable")
    initial, rest = divmod(code, 21 * 28)
    return initial, _VOWELS[rest // 28], _FINALS[rest % 28]


def join_syllable(initial: int, vowel: str, final: str = " ") -> str:
    """The inverse of `split_syllable`."""
    return chr(_FIRST + (initial * 21 + _VOWELS.index(vowel)) * 28 + _FINALS.index(final))


def final_consonant(word: str) -> str:
    """The final consonant of a word; a blank if it ends in a vowel."""
    return split_syllable(word[-1])[2]


def with_particle(noun: str, particle: str) -> str:
    """A noun with a particle in the form that its last sound requires.

    Args:
        noun: ends in a Korean syllable.
        particle: topic (은/는), subject (이/가), object (을/를), and (와/과), by ((으)로).
    """
    after_consonant, after_vowel = _PARTICLES[particle]
    final = final_consonant(noun)
    as_vowel = final == " " or particle == "by" and final == "ㄹ"  # 지하철로, but 트럭으로
    return noun + (after_vowel if as_vowel else after_consonant)


def _with_final(text: str, final: str) -> str:
    """The text with the final consonant of its last syllable replaced."""
    initial, vowel, _ = split_syllable(text[-1])
    return text[:-1] + join_syllable(initial, vowel, final)


@dataclass(frozen=True)
class Predicate:
    """A Korean verb or adjective, conjugated in the plain style (해라체).

    Derived from the stem: 르, ㄹ, ㅡ and 하 stems, vowel harmony, contraction.

    Args:
        stem: the dictionary form without 다.
        irregular: the last consonant of the stem (ㄷ ㅂ ㅅ ㅎ) changes before vowels, as in
            듣다 and 돕다, but not in 닫다 and 입다.
        adjective: conjugated as one (크다, 크지 않다; but 간다, 가지 않는다).
    """

    stem: str
    irregular: bool = False
    adjective: bool = False

    @property
    def present(self) -> str:
        """간다, 먹는다, 만든다; of an adjective 크다."""
        if self.adjective:
            return self.stem + "다"
        final = final_consonant(self.stem)
        return _with_final(self.stem, "ㄴ") + "다" if final in " ㄹ" else self.stem + "는다"

    @property
    def past(self) -> str:
        """갔다, 먹었다, 도왔다, 불렀다, 썼다, 했다."""
        return self._before_past() + "다"

    @property
    def future(self) -> str:
        """갈 것이다, 먹을 것이다, 만들 것이다, 도울 것이다."""
        return self._before_eu("ㄹ", "을") + " 것이다"

    @property
    def attributive(self) -> str:
        """The form of an adjective before a noun: 큰, 작은, 긴, 무거운, 빨간, 맛있는."""
        return self.stem + "는" if self.stem[-1] in "있없" else self._before_eu("ㄴ", "은")

    def negated(self) -> tuple[str, str, str]:
        """Present, past and future of the long negation: 가지 않는다, 가지 않았다, 가지 않을 것이다."""
        auxiliary = Predicate("않", adjective=self.adjective)
        forms = (auxiliary.present, auxiliary.past, auxiliary.future)
        present, past, future = (f"{self.stem}지 {form}" for form in forms)
        return present, past, future

    def tenses(self, negative: bool = False) -> tuple[str, str, str]:
        """Present, past and future."""
        return self.negated() if negative else (self.present, self.past, self.future)

    def _before_eu(self, consonant: str, syllable: str) -> str:
        """The stem with an ending that begins with ㅡ after consonants: ㄹ/을, ㄴ/은."""
        final = final_consonant(self.stem)
        if final in " ㄹ" or self.irregular and final == "ㅎ":
            return _with_final(self.stem, consonant)
        if not self.irregular:
            return self.stem + syllable
        changed = {"ㅂ": " ", "ㄷ": "ㄹ", "ㅅ": " "}[final]
        base = _with_final(self.stem, changed)
        return base + (_with_final("우", consonant) if final == "ㅂ" else syllable)

    def _before_past(self) -> str:
        """The stem with 았, 었 or 였, contracted where that is standard."""
        stem = self.stem
        initial, vowel, final = split_syllable(stem[-1])
        if stem[-1] == "하":
            return stem[:-1] + "했"
        if stem[-1] == "르":
            return _with_final(stem[:-1], "ㄹ") + ("랐" if _is_bright(stem[-2]) else "렀")
        if (vowel, final) == ("ㅡ", " "):
            bright = len(stem) > 1 and stem[-2] != " " and _is_bright(stem[-2])
            return stem[:-1] + join_syllable(initial, "ㅏ" if bright else "ㅓ", "ㅆ")
        if self.irregular:
            return self._before_irregular_past()
        if final == " " and vowel in _CONTRACTED:
            return stem[:-1] + join_syllable(initial, _CONTRACTED[vowel], "ㅆ")
        return stem + ("았" if _is_bright(stem[-1]) else "었")

    def _before_irregular_past(self) -> str:
        stem = self.stem
        initial, vowel, final = split_syllable(stem[-1])
        if final == "ㅎ":
            return stem[:-1] + join_syllable(initial, _OPENED[vowel], "ㅆ")
        if final == "ㅂ":  # only 돕다 and 곱다 keep vowel harmony
            return _with_final(stem, " ") + ("왔" if stem in ("돕", "곱") else "웠")
        ending = "았" if vowel in _BRIGHT else "었"
        return _with_final(stem, {"ㄷ": "ㄹ", "ㅅ": " "}[final]) + ending


def _is_bright(syllable: str) -> bool:
    return split_syllable(syllable)[1] in _BRIGHT
