"""What a user should know of a tokenizer before a model learns its tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from common.text.scripts import written_without_blanks
from common.text.subword import SubwordTokenizer
from common.text.tokenizer import Tokenizer, WhitespaceTokenizer, WordTokenizer

_ENOUGH = 1000  # training texts that are looked at
_SHOWN = 80  # characters of an example


def words_told_apart(tokenizer: Tokenizer, texts: Iterable[str], name: str) -> Iterator[str]:
    """A line if words cannot be told apart in a training text; the first thousand sentences decide.

    Args:
        tokenizer: it finds the words; characters and subwords need none.
        texts: the sentences.
        name: of the text.
    """
    if not isinstance(tokenizer, (WordTokenizer, WhitespaceTokenizer)):
        return
    sample = [text for text in islice(texts, _ENOUGH) if text.strip()]
    tokens = (token for text in sample for token in tokenizer.encode(text))
    words = sum(any(map(str.isalnum, token)) for token in tokens)  # and no punctuation
    if written_without_blanks(sample):
        reason = "its script has no blanks between words"
    elif sample and words < 1.5 * len(sample):
        reason = "about one word a line"
    else:
        return
    yield f"{name}: {reason}. For such a text take --tokenizer subwords or characters."


def capitals_unused(tokenizer: Tokenizer, name: str) -> Iterator[str]:
    """A line if a subword model has pieces with capitals, and its text is folded to lower case.

    Args:
        tokenizer: of the text.
        name: of the text.
    """
    if not isinstance(tokenizer, SubwordTokenizer) or not tokenizer.lowercase:
        return
    if any(piece != piece.lower() for piece in tokenizer.pieces):
        yield (
            f"{name}: the subword model has pieces with capitals, and the text is folded to lower case. "
            "For a model of text as it is written take --no-lowercase."
        )


def references_reproduced(
    tokenizer: Tokenizer, references: Sequence[str], compared: Callable[[str], Any], name: str
) -> Iterator[str]:
    """A line if references cannot be written as they are: no output ever equals them.

    Args:
        tokenizer: of the text that is written.
        references: it is compared with.
        compared: from a text to what is compared of it.
        name: of the references.
    """
    written = ((text, tokenizer.decode(tokenizer.encode(text))) for text in references)
    others = [(text, again) for text, again in written if compared(text) != compared(again)]
    if others:
        text, again = (each[:_SHOWN] for each in min(others, key=lambda pair: len(pair[0])))
        yield (
            f"{name}: {len(others):,} of {len(references):,} references cannot be written as they are: "
            f"{text!r} becomes {again!r}. For text that is tokens already take --tokenizer whitespace."
        )
