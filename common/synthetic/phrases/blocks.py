"""Sets of sentences: every choice of a subject, of a verb in its tense, and of two constituents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from common.synthetic.phrases.nominals import Part, Subject
from common.synthetic.phrases.predications import Predication


class Block(NamedTuple):
    """A set of sentences: the product of the choices for each of its constituents.

    Args:
        weight: its relative frequency in a data set.
        subjects, predications, first, second: the choices.
    """

    weight: float
    subjects: Sequence[Subject]
    predications: Sequence[Predication]
    first: Sequence[Part]
    second: Sequence[Part]

    @property
    def lengths(self) -> tuple[int, int, int, int]:
        """The number of choices for each constituent."""
        return len(self.subjects), len(self.predications), len(self.first), len(self.second)

    @property
    def size(self) -> int:
        """The number of sentences."""
        return math.prod(self.lengths)

    def sentence(self, subject: int, predication: int, first: int, second: int) -> tuple[str, str]:
        """The English and the Korean sentence of these choices, given as indices."""
        who, does = self.subjects[subject], self.predications[predication]
        one, other, time = self.first[first], self.second[second], does.time
        english = (
            f"{who.english}{does.english[who.person]}{one.english}{other.english}{time.english}."
        )
        korean = f"{who.korean}{time.korean}{other.korean}{one.korean}{does.korean}."
        return english, korean.lstrip()
