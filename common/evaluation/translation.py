"""Scores of translations: sacreBLEU's BLEU and chrF with their signatures, and exact match."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from common.errors import UserError
from common.text.scripts import written_without_blanks

if TYPE_CHECKING:  # imported only where it is used, so that a command line's --help is quick
    from sacrebleu.metrics import BLEU

Tokenization: TypeAlias = Literal["13a", "intl", "zh", "char", "none", "ja-mecab", "ko-mecab"]
"""How BLEU finds words; see `score_translations`. Without sacreBLEU's tokenizers that download a
model when they are first used."""

BLEU_ORDER = 4  # BLEU is of n-grams of up to so many words

# Languages that are written without spaces between words: under 13a a sentence is one word.
_WITHOUT_SPACES: dict[str, Tokenization] = {
    "zh": "zh", "ja": "char", "th": "char", "lo": "char", "km": "char", "my": "char",
}  # fmt: skip


class TranslationScores(NamedTuple):
    """How good translations are, and how that was measured.

    Args:
        metrics: bleu: corpus BLEU (Papineni et al. 2002; Post 2018), 0 to 100;
            chrf: corpus chrF2, the F-score of character n-grams (Popovic 2015), 0 to 100;
            exact_match: fraction of the sentences that equal a reference;
            brevity_penalty: the factor of bleu for translations that are too short; 1 for none.
        signatures: of bleu and of chrf, all that they depend on: two scores are comparable only
            under one signature.
    """

    metrics: dict[str, float]
    signatures: dict[str, str]


def tokenization_for(
    language: str | None, references: Sequence[str] = (), *, tokens: bool = False
) -> Tokenization:
    """How BLEU finds the words of a language.

    Args:
        language: its code, as "de" or "zh-CN", or any other name, or none.
        references: where the language is not known by its code, they decide whether it is written
            without blanks between words.
        tokens: whether they are tokens already, with blanks between them.
    """
    code = (language or "").lower().replace("_", "-").split("-")[0]
    if code in _WITHOUT_SPACES:
        return _WITHOUT_SPACES[code]
    if tokens:
        return "none"
    return "char" if written_without_blanks(references) else "13a"


def comparable(text: str, *, lowercase: bool = False) -> list[str]:
    """What exact match compares of a text: all but how wide its blanks are, in composed Unicode."""
    return unicodedata.normalize("NFC", text.lower() if lowercase else text).split()


def score_translations(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    tokenize: Tokenization = "13a",
) -> TranslationScores:
    """Score translations, as plain detokenised text, against reference translations.

    The scores are those of the `sacrebleu` command on the same text in composed Unicode (NFC), to
    which both sides are brought: "e" with an accent is one character, however it was typed.

    An empty hypothesis is allowed: it adds nothing to BLEU but shortness, and nothing to chrF. An
    empty reference is a reference of no words, not a missing one: where the hypothesis is empty
    too, they match exactly, and BLEU and chrF do not count the pair. Where no word of any
    hypothesis is right, BLEU is 0.

    Args:
        hypotheses: one translation of each sentence.
        references: for each sentence one translation, or a list of several; not all sentences
            need have as many.
        lowercase: ignore case in BLEU and chrF, as their signatures then record; exact match always
            respects it.
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
    from sacrebleu.metrics import CHRF

    lists = _as_lists(hypotheses, references)
    hypotheses = [unicodedata.normalize("NFC", text) for text in hypotheses]
    # sacreBLEU takes the first reference of all sentences, then the second, ...; None for no more.
    streams: list[Any] = [list(stream) for stream in zip_longest(*lists)]
    bleu, chrf = bleu_metric(tokenize, lowercase), CHRF(lowercase=lowercase)
    found = bleu.corpus_score(hypotheses, streams)
    matches = [
        comparable(text) in map(comparable, texts)
        for text, texts in zip(hypotheses, lists, strict=True)
    ]
    return TranslationScores(
        metrics={
            "bleu": found.score,
            "chrf": chrf.corpus_score(hypotheses, streams).score,
            "exact_match": sum(matches) / len(matches),
            "brevity_penalty": found.bp,
        },
        signatures={"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())},
    )


def score_each_translation(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    lowercase: bool = False,
    tokenize: Tokenization = "13a",
) -> tuple[list[dict[str, float]], str]:
    """sacreBLEU's sentence BLEU and chrF of each translation; arguments and errors are those of
    `score_translations`.

    Their means are not the scores of the corpus, for which counts are summed before they are divided.

    Returns:
        bleu and chrf, 0 to 100, of each; and the signature of that BLEU, whose order is at most the
        number of words (eff:yes).
    """
    from sacrebleu.metrics import CHRF

    lists = _as_lists(hypotheses, references)
    bleu, chrf = bleu_metric(tokenize, lowercase, sentences=True), CHRF(lowercase=lowercase)
    found = []
    for text, others in zip(hypotheses, lists, strict=True):
        both = unicodedata.normalize("NFC", text), others
        scores = bleu.sentence_score(*both).score, chrf.sentence_score(*both).score
        found.append(dict(zip(("bleu", "chrf"), scores, strict=True)))
    return found, str(bleu.get_signature())


def bleu_metric(
    tokenize: Tokenization, lowercase: bool = False, *, sentences: bool = False
) -> BLEU:
    """sacreBLEU's metric; also the check, before any work, that a tokenization is usable.

    Args:
        tokenize, lowercase: as `score_translations` takes them.
        sentences: for single sentences, which may have fewer words than `BLEU_ORDER`.

    Raises:
        UserError: "ja-mecab" or "ko-mecab" is not installed.
        ValueError: an unknown tokenization.
    """
    from sacrebleu.metrics import BLEU

    known = get_args(Tokenization)
    if tokenize not in known:
        raise ValueError(f"tokenize is one of {', '.join(known)}, not {tokenize!r}")
    try:
        # force: without it, each call warns of text that looks tokenised; the score is the same.
        return BLEU(lowercase=lowercase, tokenize=tokenize, force=True, effective_order=sentences)
    except (ImportError, RuntimeError):
        raise UserError(
            f"BLEU by {tokenize} needs a library that is not installed. "
            f'Install it (pip install "sacrebleu[{tokenize[:2]}]"), or choose char.'
        ) from None


def longest_in_words(references: Sequence[str], tokenize: Tokenization = "13a") -> int:
    """The words of the longest reference, as BLEU finds them. Of fewer than `BLEU_ORDER`, BLEU is 0
    whatever is written."""
    words = bleu_metric(tokenize).tokenizer
    return max((len(words(text).split()) for text in references), default=0)


def _as_lists(
    hypotheses: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]]
) -> list[list[str]]:
    """The references of each sentence as a list, in composed Unicode."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise ValueError("hypotheses and references are lists of sentences, not one text")
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses, but references of {len(references)}")
    if not hypotheses:
        raise ValueError("there are no translations to score")
    lists = [[texts] if isinstance(texts, str) else texts for texts in references]
    for number, texts in enumerate(lists):
        if not texts:
            raise ValueError(f"hypothesis {number} has no references")
    return [[unicodedata.normalize("NFC", text) for text in texts] for texts in lists]
