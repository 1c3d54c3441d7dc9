"""The grammar of the phrases, in both languages.

A sentence is a subject, a verb in a tense, and constituents. The English order is

    subject verb object (to whom) place (with whom) time      Minsu ate two apples at school today.

and in Korean the order after the subject is reversed:

    subject time (with whom) place (to whom) object verb      민수는 오늘 학교에서 사과 두 개를 먹었다.

Of all possible translations the grammar generates one: this order, the plain style, the long
negation (-지 않다), contracted forms (봤다, not 보았다), no articles, 은/는 after the subject unless it
is counted (학생 세 명이). So the English sentence determines the Korean one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from common.synthetic.phrases import lexicon
from common.synthetic.phrases.blocks import Block
from common.synthetic.phrases.korean import Predicate, with_particle
from common.synthetic.phrases.nominals import (
    NOTHING,
    PLURAL,
    THIRD,
    Part,
    Subject,
    animal_subjects,
    apart,
    as_parts,
    counted,
    counted_subjects,
    determined,
    other_people,
    owned,
    pronouns_and_names,
    several_subjects,
    single_subjects,
    without,
)
from common.synthetic.phrases.predications import (
    NEVER,
    ONCE,
    SOMETIMES,
    Predication,
    Slot,
    Times,
    be,
    predications,
    verb_predications,
)

NO_PART: Slot[Part] = [(1.0, [NOTHING])]


def blocks(held_out: bool) -> Iterator[Block]:
    """All sentences with a combination that is absent from training; or all without one."""
    yield from _scaled(0.5, _transitive(held_out))
    yield from _scaled(0.12, _giving(held_out))
    yield from _scaled(0.08, _existential(held_out))
    if not held_out:
        yield from _scaled(0.07, _motion())
        yield from _scaled(0.09, _intransitive())
        yield from _scaled(0.06, _qualities_of_things())
        yield from _scaled(0.04, _qualities_of_people())
        yield from _scaled(0.04, _qualities_of_places())


def _scaled(weight: float, blocks: Iterable[Block]) -> list[Block]:
    """The blocks that are not empty, with weights that add up to `weight`."""
    there = [block for block in blocks if block.size]
    total = sum(block.weight for block in there)
    return [block._replace(weight=weight * block.weight / total) for block in there]


def _product(
    weight: float,
    subjects: Slot[Subject],
    does: Slot[Predication],
    first: Slot[Part],
    second: Slot[Part] = NO_PART,
) -> Iterator[Block]:
    """A block for each combination of the slots' entries."""
    for choices in itertools.product(subjects, does, first, second):
        (a, whos), (b, verbs), (c, ones), (d, others) = choices
        yield Block(weight * a * b * c * d, whos, verbs, ones, others)


# ---- subjects, objects, places


def _subjects(who: Iterable[str], *, negative: bool, animals: bool = False) -> Slot[Subject]:
    """Subjects without these people and animals; counted ones only where the verb is not negated."""
    slot = [(0.7, single_subjects()), (0.15, several_subjects())]
    if not negative:
        slot.append((0.15, counted_subjects("student", "child", "boy", "girl")))
    if animals:
        slot.append((0.25, animal_subjects()))
        if not negative:
            slot.append((0.1, counted_subjects("dog", "cat")))
    who = frozenset(who)
    return [(weight, apart(subjects, who)) for weight, subjects in slot]


def _objects(noun: str, *, held_out: bool, negative: bool, never: str) -> Slot[Part]:
    """The phrases of a noun as an object; counted ones only where the verb is not negated."""
    kinds = [(0.5, determined(noun, False)), (0.2, determined(noun, True))]
    if not negative:
        kinds += [(0.25, counted(noun, False)), (0.1, counted(noun, True))]
    return [(weight, as_parts(without(kind, never), "object", held_out)) for weight, kind in kinds]


def _at(names: str, particle: str) -> list[Part]:
    return [
        Part(f" {place.at} {place.english}", f" {place.korean}{particle}")
        for place in map(lexicon.PLACES.__getitem__, names.split())
    ]


# ---- verbs


def _each(
    verbs: Sequence[lexicon.Verb],
) -> Iterator[tuple[lexicon.Verb, bool, float, Slot[Predication]]]:
    """Each verb, and its negation: the verb, whether it is negated, its weight, its predications."""
    for verb, negative in itertools.product(verbs, (False, True)):
        yield verb, negative, 0.3 if negative else 0.7, verb_predications(verb, negative)


def _transitive(held_out: bool) -> Iterator[Block]:
    """Minsu bought three apples at the market yesterday."""
    for verb, negative, weight, does in _each(lexicon.TRANSITIVE):
        objects = verb.objects.split()
        places = [(0.65, [NOTHING]), (0.35, _at(verb.places, "에서"))]
        weight = weight / math.sqrt(len(objects))
        for noun, what in _what(verb, negative, held_out):
            subjects = _subjects((noun,), negative=negative, animals=verb.animals)
            yield from _product(weight, subjects, does, what, places)
        if "friend" in objects and not held_out:
            for others in pronouns_and_names():
                subjects = _subjects(others.who, negative=negative)
                them: Slot[Part] = [(1.0, others.parts("", "", particle="object"))]
                yield from _product(weight / 2, subjects, does, them, places)


def _giving(held_out: bool) -> Iterator[Block]:
    """Minsu gave two apples to the girl yesterday."""
    for verb, negative, weight, does in _each(lexicon.GIVING):
        weight = weight / math.sqrt(len(verb.objects.split()))
        whats = list(_what(verb, negative, held_out))
        for others in other_people():
            subjects = _subjects(others.who, negative=negative)
            them: Slot[Part] = [(1.0, others.parts(" to", "에게"))]
            for _, what in whats:
                yield from _product(weight, subjects, does, what, them)


def _what(verb: lexicon.Verb, negative: bool, held_out: bool) -> Iterator[tuple[str, Slot[Part]]]:
    """Each object of a verb: the noun, and its phrases.

    If the verb and the noun are a held-out combination, the phrase itself has none.
    """
    for noun in verb.objects.split():
        new = (verb.english, noun) in lexicon.HELD_OUT_OBJECTS
        if held_out or not new:
            within = held_out and not new
            yield noun, _objects(noun, held_out=within, negative=negative, never=verb.never)


def _motion() -> Iterator[Block]:
    """Minsu went to the park with Jimin yesterday; to the market by bus."""
    to, far = (
        [Part(f" {place.to} {place.english}", f" {place.korean}에") for place in places]
        for places in (
            lexicon.PLACES.values(),
            [place for place in lexicon.PLACES.values() if place.far],
        )
    )
    by = [Part(f" by {name}", " " + with_particle(word, "by")) for name, word in lexicon.VEHICLES]
    for _, negative, weight, does in _each(lexicon.MOTION):
        subjects = _subjects((), negative=negative)
        yield from _product(0.3 * weight, subjects, does, [(1.0, to)])
        yield from _product(0.4 * weight, subjects, does, [(1.0, far)], [(1.0, by)])
        yield from _accompanied(0.3 * weight, does, [(1.0, to)], negative)


def _intransitive() -> Iterator[Block]:
    """The children played in the garden with my friend today."""
    for verb, negative, weight, does in _each(lexicon.INTRANSITIVE):
        where = [(0.3, [NOTHING]), (0.7, _at(verb.places, "에서"))]
        subjects = _subjects((), negative=negative, animals=verb.animals)
        yield from _product(0.75 * weight, subjects, does, where)
        yield from _accompanied(0.25 * weight, does, where, negative, verb.animals)


def _accompanied(
    weight: float, does: Slot[Predication], where: Slot[Part], negative: bool, animals: bool = False
) -> Iterator[Block]:
    """With somebody: with my friend, with Jimin."""
    groups = list(other_people())
    for others in groups:
        subjects = _subjects(others.who, negative=negative, animals=animals)
        company: Slot[Part] = [(1.0, others.parts(" with", " 함께", particle="and"))]
        yield from _product(weight / len(groups), subjects, does, where, company)


# ---- existence and qualities


def _existential(held_out: bool) -> Iterator[Block]:
    """There were three dogs in the park yesterday."""
    there_is = predications(be(""), Predicate("있", adjective=True).tenses(), ONCE)
    there_is_no = predications(be("no"), Predicate("없", adjective=True).tenses(), ONCE)
    for place, nouns in lexicon.FOUND.items():
        where: Slot[Part] = [(1.0, _at(place, "에"))]
        for noun in nouns.split():
            # "There is" takes no definite noun phrases.
            new = [
                phrase
                for phrase in (*determined(noun, False), *determined(noun, True))
                if phrase.english.split()[0] not in ("the", "this", "my")
            ]
            numbers = [*counted(noun, False), *counted(noun, True)]
            bare = [each for each in new if each.plural and not each.english.startswith("many")]
            for weight, does, phrases in (
                (0.35, there_is, new),
                (0.45, there_is, numbers),
                (0.2, there_is_no, bare),
            ):
                for person in (THIRD, PLURAL):
                    some = [phrase for phrase in phrases if phrase.plural == (person == PLURAL)]
                    what = as_parts(some, "subject", held_out)
                    there = [Subject("There", "", person, frozenset())]
                    yield from _product(weight, [(1.0, there)], does, [(1.0, what)], where)


def _qualities_of_things() -> Iterator[Block]:
    """Minsu's new bag is not heavy."""
    for noun in lexicon.NOUNS.values():
        held_out = {name for name, other in lexicon.HELD_OUT_ADJECTIVES if other == noun.english}
        names = set(noun.adjectives.split()) - held_out
        looks = [look for look in ("new", "old", "black", "white") if look in names]
        subjects = [(0.7, owned(noun, [""])), (0.3, owned(noun, looks))]
        for name in lexicon.OF_THINGS:
            if name in names:
                yield from _quality(name, NEVER, subjects)


def _qualities_of_people() -> Iterator[Block]:
    """The students will be very busy tomorrow."""
    for name in lexicon.OF_PEOPLE:
        unseen = {noun for other, noun in lexicon.HELD_OUT_ADJECTIVES if other == name}
        people = [(0.7, apart(single_subjects(), unseen)), (0.3, apart(several_subjects(), unseen))]
        yield from _quality(name, SOMETIMES if name in lexicon.OF_THE_MOMENT else NEVER, people)


def _qualities_of_places() -> Iterator[Block]:
    """The library is quiet in the morning."""
    places = [
        Subject(f"The {place.english}", with_particle(place.korean, "topic"), THIRD, frozenset())
        for place in lexicon.PLACES.values()
    ]
    for name in lexicon.OF_PLACES:
        yield from _quality(name, SOMETIMES, [(1.0, places)])


def _quality(name: str, times: Times, subjects: Slot[Subject]) -> Iterator[Block]:
    """The subjects with an adjective as predicate, in every tense, negated or not."""
    adjective = lexicon.ADJECTIVES[name]
    assert adjective.predicate is not None
    plain, very = Part(f" {adjective.english}", ""), Part(f" very {adjective.english}", " 아주")
    for negative, weight, degrees in ((False, 0.7, [plain, very]), (True, 0.3, [plain])):
        english = be("not" if negative else "")
        does = predications(english, adjective.predicate.tenses(negative), times)
        yield from _product(weight, subjects, does, [(1.0, degrees)])
