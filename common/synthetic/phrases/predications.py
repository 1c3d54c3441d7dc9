"""Verbs in their tenses, in both languages, with adverbials of time that agree with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from common.synthetic.phrases.lexicon import EVERY_DAY, THESE_DAYS, TIMES, Verb
from common.synthetic.phrases.nominals import NOTHING, Part

T = TypeVar("T")
Slot = Sequence[tuple[float, Sequence[T]]]  # the choices for a constituent: (weight, choices) each
Times = tuple[tuple[tuple[str, str], ...], ...]  # (English, Korean) for each of three tenses

PRESENT, PAST, FUTURE = range(3)
SOMETIMES: Times = ((*TIMES[PRESENT], THESE_DAYS), *TIMES[PAST:])
ONCE: Times = ((), *TIMES[PAST:])
NEVER: Times = ((), (), ())


class Predication(NamedTuple):
    """A verb in a tense, and an adverbial of time that agrees with it.

    Args:
        english: the forms after I, he, and we, each with a blank before it.
        korean: the form, with a blank before it.
        time: the adverbial, or NOTHING.
    """

    english: tuple[str, str, str]
    korean: str
    time: Part


def _english(verb: Verb, negative: bool) -> list[tuple[str, str, str]]:
    """The English verb in each tense: the forms after I, he, and we."""
    head, *rest = verb.english.split()
    if negative:
        forms = [("do not", "does not", "do not"), ("did not",) * 3, ("will not",) * 3]
        return [_join(each, verb.english) for each in forms]
    before = head[:-1] + "i" if head.endswith("y") and head[-2] not in "aeiou" else head
    third = before + ("es" if before.endswith(("ch", "sh", "x", "o", "i")) else "s")
    past = verb.past or before.removesuffix("e") + "ed"
    forms = [(head, third, head), (past,) * 3, (f"will {head}",) * 3]
    return [_join(each, " ".join(rest)) for each in forms]


def _join(forms: Iterable[str], rest: str) -> tuple[str, str, str]:
    first, third, plural = (f" {form} {rest}".rstrip() for form in forms)
    return first, third, plural


def be(negation: str) -> list[tuple[str, str, str]]:
    """`be` in each tense; the negation is `not`, `no` or empty."""
    future = "will not be" if negation == "not" else f"will be {negation}"
    return [
        _join(("am", "is", "are"), negation),
        _join(("was", "was", "were"), negation),
        _join((future,) * 3, ""),
    ]


def predications(
    english: Sequence[tuple[str, str, str]], korean: Sequence[str], times: Times
) -> Slot[Predication]:
    """A verb in every tense: without an adverbial, and with each of those that agree with it."""
    forms = list(zip(english, korean, strict=True))
    # "They read books" is present or past: it needs an adverbial.
    unclear = english[PRESENT][0] == english[PAST][0]
    timeless = [
        Predication(form, " " + word, NOTHING)
        for form, word in (forms[FUTURE:] if unclear else forms)
    ]
    timed = [
        Predication(form, " " + word, Part(" " + when, " " + korean_when))
        for (form, word), whens in zip(forms, times, strict=True)
        for when, korean_when in whens
    ]
    return [(0.45, timeless), (0.55, timed)]


def verb_predications(verb: Verb, negative: bool) -> Slot[Predication]:
    """The predications of a verb, or of its negation."""
    times = ONCE
    if verb.habitual:
        usual = (THESE_DAYS,) if negative else EVERY_DAY
        times = ((*TIMES[PRESENT], *usual), *TIMES[PAST:])
    return predications(_english(verb, negative), verb.korean.tenses(negative), times)
