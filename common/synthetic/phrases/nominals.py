"""Noun phrases in both languages, with their particles: subjects, objects, other people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from common.synthetic.phrases.korean import with_particle
from common.synthetic.phrases.lexicon import (
    ADJECTIVES,
    HELD_OUT_ADJECTIVES,
    HELD_OUT_NUMBERS,
    NAMES,
    NOUNS,
    NUMBERS,
    Noun,
)

FIRST, THIRD, PLURAL = range(3)  # person and number, with which the English verb agrees
_PEOPLE = ("student", "child", "boy", "girl", "doctor", "singer")
_OWN = ("friend",)  # people that may follow "my"


class Part(NamedTuple):
    """A constituent in both languages, each with a blank before it, or empty."""

    english: str
    korean: str


NOTHING = Part("", "")


class Subject(NamedTuple):
    """A subject with its particle; `who` are the people in it, which cannot be objects as well."""

    english: str
    korean: str
    person: int
    who: frozenset[str]


class Phrase(NamedTuple):
    """A noun phrase without a particle.

    Args:
        english, korean: its words.
        plural: whether it is plural in English.
        held_out: whether its number or adjective with the noun is absent from training.
        adjective: its adjective, or empty.
    """

    english: str
    korean: str
    plural: bool = False
    held_out: bool = False
    adjective: str = ""


def plural_of(noun: Noun) -> str:
    """The English plural."""
    return noun.plural or noun.english + "s"


def with_article(words: str) -> str:
    """The words with `a` or `an`."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


@cache
def determined(name: str, adjectives: bool) -> tuple[Phrase, ...]:
    """A noun with an article, this, my, many or nothing; with each of its adjectives, or without.

    Korean has no articles and needs no plural: `a book`, `the book`, `books` are all 책.
    """
    noun, phrases = NOUNS[name], []
    for adjective in noun.adjectives.split() if adjectives else [""]:
        one, many, korean = _described(noun, adjective)
        held = (adjective, name) in HELD_OUT_ADJECTIVES
        person = name in _PEOPLE or name in _OWN
        if noun.counter and not noun.container:
            phrases += [
                Phrase(with_article(one), korean, False, held, adjective),
                Phrase(many, korean, True, held, adjective),
            ]
            if not adjective:
                phrases.append(Phrase(f"many {many}", f"많은 {korean}", True))
            if person:  # Korean has a plural of people only
                phrases.append(Phrase(f"the {many}", f"{korean}들", True, held, adjective))
        else:
            phrases.append(Phrase(one, korean, False, held, adjective))
        phrases += [
            Phrase(f"the {one}", korean, False, held, adjective),
            Phrase(f"this {one}", f"이 {korean}", False, held, adjective),
        ]
        if not person or name in _OWN:
            phrases.append(Phrase(f"my {one}", f"내 {korean}", False, held, adjective))
    return tuple(phrases)


@cache
def counted(name: str, adjectives: bool) -> tuple[Phrase, ...]:
    """A noun with each number and its Korean counter: three dogs, 개 세 마리."""
    noun, phrases = NOUNS[name], []
    if not noun.counter:
        return ()
    numbers = [("a", "한"), *NUMBERS] if noun.container else NUMBERS  # a cup of coffee
    for adjective in noun.adjectives.split() if adjectives else [""]:
        one, many, korean = _described(noun, adjective)
        for number, native in numbers:
            held = (number, name) in HELD_OUT_NUMBERS or (adjective, name) in HELD_OUT_ADJECTIVES
            several = number not in ("a", "one")
            if noun.container:
                plural = "" if not several else "es" if noun.container.endswith("s") else "s"
                english = f"{number} {noun.container}{plural} of {one}"
            else:
                english = f"{number} {many if several else one}"
            counted_so = f"{korean} {native} {noun.counter}"
            phrases.append(Phrase(english, counted_so, several, held, adjective))
    return tuple(phrases)


def _described(noun: Noun, adjective: str) -> tuple[str, str, str]:
    """A noun with an adjective: English singular and plural, and Korean."""
    if not adjective:
        return noun.english, plural_of(noun), noun.korean
    word = ADJECTIVES[adjective]
    return (
        f"{word.english} {noun.english}",
        f"{word.english} {plural_of(noun)}",
        f"{word.attributive} {noun.korean}",
    )


def as_parts(phrases: Iterable[Phrase], particle: str, held_out: bool) -> list[Part]:
    """The phrases of which `held_out` has this value, with a particle."""
    return [
        Part(f" {phrase.english}", " " + with_particle(phrase.korean, particle))
        for phrase in phrases
        if phrase.held_out == held_out
    ]


def without(phrases: Iterable[Phrase], adjective: str) -> list[Phrase]:
    """The phrases that do not have this adjective."""
    return [phrase for phrase in phrases if not adjective or phrase.adjective != adjective]


# ---- subjects


def _topic(english: str, korean: str, person: int, *who: str) -> Subject:
    return Subject(english, with_particle(korean, "topic"), person, frozenset(who))


@cache
def single_subjects() -> tuple[Subject, ...]:
    """I, we, he, Minsu, the doctor, my friend: one noun or pronoun."""
    return (
        _topic("I", "나", FIRST, "I"),
        _topic("We", "우리", PLURAL, "we"),
        _topic("He", "그", THIRD, "he"),
        _topic("She", "그녀", THIRD, "she"),
        _topic("They", "그들", PLURAL, "they"),
        _topic("My friend", "내 친구", THIRD, "friend"),
        *(_topic(name, korean, THIRD, name) for name, korean in NAMES),
        *(_topic(f"The {name}", NOUNS[name].korean, THIRD, name) for name in _PEOPLE),
    )


@cache
def several_subjects() -> tuple[Subject, ...]:
    """The students, Minsu and Jimin, the boy and the girl, Minsu and I."""
    subjects = [
        _topic(f"The {plural_of(NOUNS[name])}", NOUNS[name].korean + "들", PLURAL, name)
        for name in _PEOPLE
    ]
    people = [(f"the {name}", NOUNS[name].korean, name) for name in ("boy", "girl", "doctor")]
    names = [(name, korean, name) for name, korean in NAMES]
    for group in (people, names):
        for (one, korean, who), (other, other_korean, other_who) in itertools.permutations(
            group, 2
        ):
            english = f"{one[0].upper()}{one[1:]} and {other}"
            both = f"{with_particle(korean, 'and')} {other_korean}"
            subjects.append(_topic(english, both, PLURAL, who, other_who))
    for name, korean, who in names:
        both = with_particle(korean, "and") + " 나"
        subjects.append(_topic(f"{name} and I", both, PLURAL, who, "I"))
    return tuple(subjects)


@cache
def counted_subjects(*names: str) -> tuple[Subject, ...]:
    """Three students: newly mentioned, and so with 이/가 in place of 은/는."""
    return tuple(
        Subject(
            phrase.english.capitalize(),
            with_particle(phrase.korean, "subject"),
            PLURAL if phrase.plural else THIRD,
            frozenset((name,)),
        )
        for name in names
        for phrase in counted(name, adjectives=False)
        if not phrase.held_out
    )


@cache
def animal_subjects() -> tuple[Subject, ...]:
    """The dog, my cat."""
    return tuple(
        _topic(f"{determiner} {name}", before + NOUNS[name].korean, THIRD, name)
        for name in ("dog", "cat")
        for determiner, before in (("The", ""), ("My", "내 "))
    )


def owned(noun: Noun, adjectives: Iterable[str]) -> list[Subject]:
    """My new bag, Minsu's new bag, the doctor's new bag."""
    owners = [("The", ""), ("This", "이 "), ("My", "내 "), ("His", "그의 "), ("Her", "그녀의 ")]
    owners += [(f"{name}'s", f"{korean}의 ") for name, korean in NAMES]
    owners += [(f"The {name}'s", f"{NOUNS[name].korean}의 ") for name in ("student", "doctor")]
    subjects = []
    for (owner, before), adjective in itertools.product(owners, adjectives):
        one, _, korean = _described(noun, adjective)
        subjects.append(_topic(f"{owner} {one}", before + korean, THIRD))
    return subjects


def apart(subjects: Sequence[Subject], who: Iterable[str]) -> list[Subject]:
    """The subjects without any of these people and animals."""
    who = frozenset(who)
    return [subject for subject in subjects if not subject.who & who]


# ---- other people


class Others(NamedTuple):
    """People other than the subject: (English, Korean) of each, and who must not be in the subject."""

    words: tuple[tuple[str, str], ...]
    who: frozenset[str]

    def parts(self, before: str, after: str, *, particle: str = "") -> list[Part]:
        """Each as a constituent, after an English preposition and before a Korean postposition."""
        return [
            Part(
                f"{before} {english}",
                f" {with_particle(korean, particle) if particle else korean}{after}",
            )
            for english, korean in self.words
        ]


def pronouns_and_names() -> Iterator[Others]:
    """Groups of people; a subject is combined with all of a group, or with none."""
    yield Others((("me", "나"), ("us", "우리")), frozenset(("I", "we")))
    yield Others(
        (("him", "그"), ("her", "그녀"), ("them", "그들")), frozenset(("he", "she", "they"))
    )
    for names in (NAMES[:2], NAMES[2:]):
        yield Others(names, frozenset(name for name, _ in names))


def other_people() -> Iterator[Others]:
    """`pronouns_and_names`, and groups of nouns."""
    yield from pronouns_and_names()
    for names in (("girl", "child"), ("boy",)):
        nouns = tuple((f"the {name}", NOUNS[name].korean) for name in names)
        yield Others(nouns, frozenset(names))
    nouns = (("the students", "학생들"), ("my friend", "내 친구"))
    yield Others(nouns, frozenset(("student", "friend")))
