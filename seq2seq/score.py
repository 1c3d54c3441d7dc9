"""Scoring translations, whoever wrote them, by references alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.cli.scores import check_items, give_scores
from common.data.encodings import text_encoding
from common.data.formats import plain_name
from common.data.reading import text_lines
from common.errors import UserError
from common.evaluation.translation import (
    Tokenization,
    TranslationScores,
    score_each_translation,
    score_translations,
    tokenization_for,
)
from seq2seq.options import ScoreOptions


def score(options: ScoreOptions) -> None:
    """Print the scores of a file of translations; see `ScoreOptions`."""
    names = [options.file, *options.references]
    check_items(options.items, names)
    if names.count("-") > 1:
        raise UserError("standard input can be read once: name files for the others.")
    with text_encoding(options.encoding):
        written, *references = (text_lines(name, "score") for name in names)
    if not written:
        raise UserError(f"{options.file} has no line.")
    for name, lines in zip(options.references, references, strict=True):
        if len(lines) != len(written):
            raise UserError(
                f"{options.file} has {len(written):,} lines, but {name} has {len(lines):,}. Line n of "
                "one must be a translation of the same sentence as line n of the other."
            )
    if not any(text.strip() for lines in references for text in lines):
        raise UserError(f"{', '.join(options.references)}: no reference in it, only blank lines.")
    of_each = list(zip(*references, strict=True))
    language = plain_name(Path(options.references[0])).rpartition(".")[2]
    tokenize = options.bleu_tokenize or tokenization_for(language, references[0])
    scores = score_texts(written, of_each, options.lowercase, tokenize)
    notes, items = [], []
    if options.items is not None:
        both = cased(written, of_each, options.lowercase)
        each, signature = score_each_translation(
            *both, lowercase=options.lowercase, tokenize=tokenize
        )
        notes.append(f"bleu of each line: {signature}")
        items = [
            {"line": number, "translation": text, **found}
            for number, (text, found) in enumerate(zip(written, each, strict=True), 1)
        ]
    give_scores(options, scores.metrics, scores.signatures, notes, items)


def score_texts(
    written: Sequence[str],
    references: Sequence[Sequence[str]],
    lowercase: bool = False,
    tokenize: Tokenization = "13a",
) -> TranslationScores:
    """The scores of translations; see `score_translations`.

    Args:
        written: N translations.
        references: of each, one or more.
        lowercase: score lower-cased text, which the signatures then say.
        tokenize: how BLEU finds words.
    """
    both = cased(written, references, lowercase)
    return score_translations(*both, lowercase=lowercase, tokenize=tokenize)


def cased(
    written: Sequence[str], references: Sequence[Sequence[str]], lowercase: bool
) -> tuple[list[str], list[list[str]]]:
    """Translations and references, lower-cased where that is wanted: both, since a model of lower case
    writes capitals in AT&T."""
    case = str.lower if lowercase else str
    return [case(text) for text in written], [[case(text) for text in each] for each in references]
