"""Alignments as pairs of words, from where a translator looked while it wrote."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

import torch

from common.models.sentence import Sentence
from common.text.scripts import written_without_blanks
from common.text.tokenizer import Tokenizer
from seq2seq.translator import Translator


def word_alignment(translator: Translator, text: str, written: Sentence) -> list[tuple[int, int]]:
    """Which word of the source was looked at most while each word of the translation was written.

    A word is what stands between blanks in `text` and in `written.text`, whatever tokens it was read or
    written as: the attention of its tokens is added up. In a text of a script without blanks, each token
    is a word. The end of the source is none.

    Args:
        translator: it wrote the translation.
        text: the source, as it was given.
        written: its translation, with its attention (`keep_attention=True`).

    Returns:
        Pairs (source word, target word), counted from 0, sorted; one for each target word. Empty where
        the translation is blank or has no attention, as that of a text in several parts.
    """
    source = translator.source.tokenizer.encode(text)
    if written.attention is None or not source or not written.tokens:
        return []
    read = words_of_text(translator.source.tokenizer, text, source)
    wrote = words_of_tokens(translator.target.tokenizer, written.tokens)
    weights = written.attention[: len(wrote), : len(source)]
    table = torch.zeros(max(wrote) + 1, max(read) + 1)
    rows = torch.zeros(len(table), weights.shape[1]).index_add_(0, torch.tensor(wrote), weights)
    table.index_add_(1, torch.tensor(read), rows)
    looked = table.argmax(1).tolist()
    return sorted((looked[word], word) for word in set(wrote))


def pharaoh(pairs: Iterable[tuple[int, int]]) -> str:
    """Pairs as the tools of statistical translation read them: `0-0 1-2`."""
    return " ".join(f"{source}-{target}" for source, target in pairs)


def words_of_text(tokenizer: Tokenizer, text: str, tokens: Sequence[str]) -> list[int]:
    """For each token of a text, which word of the text it is of."""
    if written_without_blanks([text]):
        return list(range(len(tokens)))
    # How many tokens there are up to the end of each word.
    ends = [len(tokenizer.encode(text[: word.end()])) for word in re.finditer(r"\S+", text)]
    ends = list(accumulate(ends, max))
    return [min(bisect_right(ends, place), len(ends) - 1) for place in range(len(tokens))]


def words_of_tokens(tokenizer: Tokenizer, tokens: Sequence[str]) -> list[int]:
    """For each token, which word it is of in the text that the tokens are decoded to."""
    text = tokenizer.decode(tokens)
    if written_without_blanks([text]):
        return list(range(len(tokens)))
    last = max(0, len(text.split()) - 1)
    begun = (tokenizer.decode(tokens[: place + 1]).split() for place in range(len(tokens)))
    return [min(max(0, len(words) - 1), last) for words in begun]
