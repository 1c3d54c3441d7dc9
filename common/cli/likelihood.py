"""What a command prints of sentences that a model was given to score."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from common.errors import UserError
from common.models.likelihood import Likelihood
from common.models.tokens import perplexity
from common.text.vocabulary import SPECIALS, UNK


def print_likelihoods(found: Iterable[Sequence[Likelihood]]) -> None:
    """A line for each sentence, with its log-probability and its number of tokens; and at the end, to
    standard error, what they come to.

    Args:
        found: of all sentences, in their order, some at a time.
    """
    sentences = tokens = unknown = 0
    total = 0.0
    for some in found:
        for each in some:
            print(f"{each.log_probability:.4f}\t{len(each.tokens)}")
            total += each.log_probability
            tokens += len(each.tokens)
            unknown += each.tokens.count(SPECIALS[UNK])
        sentences += len(some)
        sys.stdout.flush()
    if not sentences:
        raise UserError("there is no sentence to score: the text is empty.")
    ends = tokens + sentences  # with the end tokens, which are predicted too
    print(
        f"{sentences:,} sentences, {tokens:,} tokens: log-probability {total:.4f}, perplexity "
        f"{perplexity(-total, ends):.4f} per token, end tokens included",
        file=sys.stderr,
    )
    if unknown:
        print(
            f"{unknown:,} tokens are not in the vocabulary: what is scored of them is that some unknown "
            "word stands there",
            file=sys.stderr,
        )
