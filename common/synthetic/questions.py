"""Questions about some countries, each fact in several wordings, and their answers."""

from __future__ import annotations

import numpy as np

from common.data.pairs import Pair

# The capital, the language that most people speak, and the continent.
COUNTRIES = {
    "austria": ("vienna", "german", "europe"),
    "brazil": ("brasilia", "portuguese", "south america"),
    "chile": ("santiago", "spanish", "south america"),
    "china": ("beijing", "chinese", "asia"),
    "cuba": ("havana", "spanish", "north america"),
    "egypt": ("cairo", "arabic", "africa"),
    "finland": ("helsinki", "finnish", "europe"),
    "france": ("paris", "french", "europe"),
    "ghana": ("accra", "english", "africa"),
    "greece": ("athens", "greek", "europe"),
    "iran": ("tehran", "persian", "asia"),
    "italy": ("rome", "italian", "europe"),
    "japan": ("tokyo", "japanese", "asia"),
    "korea": ("seoul", "korean", "asia"),
    "mexico": ("mexico city", "spanish", "north america"),
    "poland": ("warsaw", "polish", "europe"),
    "portugal": ("lisbon", "portuguese", "europe"),
    "thailand": ("bangkok", "thai", "asia"),
    "turkey": ("ankara", "turkish", "asia"),
    "vietnam": ("hanoi", "vietnamese", "asia"),
}
WORDINGS = (
    (
        "what is the capital of {}?", "which city is the capital of {}?",
        "tell me the capital of {}.", "from which city is {} governed?", "{} has which capital?",
    ),
    (
        "what do people speak in {}?", "which language is spoken in {}?",
        "what language do they speak in {}?", "tell me the language of {}.",
        "how do i talk to people in {}?",
    ),
    (
        "where is {}?", "on which continent is {}?", "tell me where {} is.",
        "what continent is {} on?", "where on earth do i find {}?",
    ),
)  # fmt: skip
ANSWERS = ("the capital of {} is {}.", "people in {} speak {}.", "{} is in {}.")


def questions_and_answers(seed: int = 0) -> dict[str, list[Pair]]:
    """300 questions with their answers: three facts about each of 20 countries, in five wordings.

    Args:
        seed: of the wordings that are held out: one of each fact, in the split "val".
    """
    draws = np.random.default_rng(seed)
    pairs: dict[str, list[Pair]] = {"train": [], "val": []}
    for country, facts in COUNTRIES.items():
        for wordings, answer, fact in zip(WORDINGS, ANSWERS, facts, strict=True):
            held_out = draws.integers(len(wordings))
            for number, wording in enumerate(wordings):
                pair = Pair(wording.format(country), answer.format(country, fact))
                pairs["val" if number == held_out else "train"].append(pair)
    return pairs
