"""Scores of translations: sacreBLEU's BLEU and chrF with their signatures, and exact match."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from sacrebleu.metrics import BLEU, CHRF

from common.errors import UserError
from common.evaluation.names import Tokenization

# Languages that are written without blanks between words: under 13a a sentence is one word.
_WITHOUT_BLANKS: dict[str, Tokenization] = {
    "zh": "zh", "ja": "char", "th": "char", "lo": "char", "km": "char", "my": "char",
}  # fmt: skip


@dataclass(frozen=True)
class TranslationScores:
    """How good translations are, and how that was measured.

    Args:
        bleu: corpus BLEU (Papineni et al. 2002; Post 2018), 0 to 100.
        chrf: corpus chrF2, the F-score of character n-grams (Popovic 2015), 0 to 100.
        exact_match: share of the sentences that equal a reference, 0 to 1.
        brevity_penalty: the factor of `bleu` for translations that are too short; 1 for none.
        bleu_signature: all that `bleu` depends on: BLEU is comparable only under one signature.
        chrf_signature: the same of `chrf`.
    """

    bleu: float
    chrf: float
    exact_match: float
    brevity_penalty: float
    bleu_signature: str
    chrf_signature: str

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "bleu": self.bleu,
            "chrf": self.chrf,
            "exact_match": self.exact_match,
            "brevity_penalty": self.brevity_penalty,
        }

    @property
    def signatures(self) -> dict[str, str]:
        """The signatures by the name of their metric."""
        return {"bleu": self.bleu_signature, "chrf": self.chrf_signature}


def tokenization_for(language: str | None) -> Tokenization:
    """How BLEU finds the words of a language that is named by its code, as "de" or "zh-CN"."""
    return _WITHOUT_BLANKS.get((language or "").lower().replace("_", "-").split("-")[0], "13a")


def check_tokenization(tokenize: Tokenization) -> None:
    """Refuse, before the work whose result it scores, to find words by what is not installed.

    Raises:
        UserError: its library is not installed.
    """
    _bleu(tokenize, lowercase=False)


def score_translations(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    tokenize: Tokenization = "13a",
) -> TranslationScores:
    """Score translations, as plain text that a person would read, against those of people.

    The figures are those of the `sacrebleu` command on the same text in composed Unicode (NFC),
    to which both sides are brought: "e" with an accent is one letter, however it was typed.

    An empty hypothesis is allowed: it adds nothing to BLEU but shortness, and nothing to chrF. An
    empty reference is a reference of no words, not a missing one: where the hypothesis is empty
    too, they match exactly, and BLEU and chrF do not count the pair. Where no word of any
    hypothesis is right, BLEU is 0.

    Args:
        hypotheses: one translation of each sentence.
        references: of each sentence one translation, or a list of several; not all sentences
            need have as many.
        lowercase: ignore case in BLEU and chrF, which their signatures then say; exact match always
            minds it.
        tokenize: how BLEU finds words, always on plain text: "13a", the standard for languages with
            spaces; "intl", which knows the punctuation of all of Unicode; "zh" for Chinese; "char",
            every character a word, for Japanese, Korean, Thai; "none" for text that is tokenised
            already. "ja-mecab" and "ko-mecab", which papers on Japanese and Korean report, need
            `pip install "sacrebleu[ja]"` and `"sacrebleu[ko]"`. Korean has spaces, so that 13a works,
            but counts a noun with another particle as another word. chrF needs no choice.

    Raises:
        UserError: "ja-mecab" or "ko-mecab" is not installed.
        ValueError: no sentence, not one non-empty list of references per hypothesis, or an unknown
            tokenization.
    """
    several = _as_lists(hypotheses, references)
    hypotheses = [_composed(text) for text in hypotheses]
    several = [[_composed(text) for text in texts] for texts in several]
    # sacreBLEU wants the first reference of all sentences, then the second, ...; None where it ends.
    most = max(map(len, several))
    streams: list[Any] = [
        [texts[number] if number < len(texts) else None for texts in several]
        for number in range(most)
    ]
    bleu = _bleu(tokenize, lowercase)
    chrf = CHRF(lowercase=lowercase)
    found = bleu.corpus_score(hypotheses, streams)
    matches = [
        _even(text) in map(_even, texts) for text, texts in zip(hypotheses, several, strict=True)
    ]
    return TranslationScores(
        bleu=found.score,
        chrf=chrf.corpus_score(hypotheses, streams).score,
        exact_match=sum(matches) / len(matches),
        brevity_penalty=found.bp,
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )


def _bleu(tokenize: Tokenization, lowercase: bool) -> BLEU:
    known = get_args(Tokenization)
    if tokenize not in known:
        raise ValueError(f"tokenize is one of {', '.join(known)}, not {tokenize!r}")
    try:
        # Unforced, it warns of text that looks tokenised, each time anew; the score is the same.
        return BLEU(lowercase=lowercase, tokenize=tokenize, force=True)
    except (ImportError, RuntimeError):
        raise UserError(
            f"BLEU by {tokenize} needs a library that is not installed. "
            f'Install it (pip install "sacrebleu[{tokenize[:2]}]"), or choose char.'
        ) from None


def _as_lists(
    hypotheses: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]]
) -> list[list[str]]:
    """The references of each sentence as a list."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise ValueError("hypotheses and references are lists of sentences, not one text")
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses, but references of {len(references)}")
    if not hypotheses:
        raise ValueError("there are no translations to score")
    several = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    for number, texts in enumerate(several):
        if not texts:
            raise ValueError(f"hypothesis {number} has no references")
    return several


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _even(text: str) -> str:
    """One space between words and none around them."""
    return " ".join(text.split())
