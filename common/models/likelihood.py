"""How likely a model finds sentences that are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from common.compute.device import naming_batch_size, to_host
from common.compute.precision import arithmetic, without_gradients
from common.data.batching import bucketed_batches
from common.errors import UserError
from common.models.encoder_decoder import Batch, SentenceWriter
from common.text.language import Language

LONGEST = 5_000  # tokens of a text or of its source
MOST_TOKENS = 8_192  # of a batch: of long texts fewer are scored at a time


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a given sentence, token by token.

    Args:
        tokens: of the sentence, `<unk>` for each that the vocabulary lacks.
        log_probabilities: natural logarithm of the probability of each token after those before it; the
            last is that of the end token.
    """

    tokens: list[str]
    log_probabilities: list[float]

    @property
    def log_probability(self) -> float:
        """Of the whole sentence, its end included, in nats: what a search gives the same tokens."""
        return math.fsum(self.log_probabilities)


@without_gradients()
def likelihoods(
    model: SentenceWriter,
    language: Language,
    inputs: Callable[[Sequence[int]], tuple[Tensor, ...]],
    texts: Sequence[str],
    *,
    sources: Sequence[int] | None = None,
    batch_size: int = 64,
) -> list[Likelihood]:
    """How likely a model finds each of some texts, in float32: the same alone and in any batch.

    Args:
        model: in evaluation mode.
        language: the tokens of its decoder.
        inputs: from places in `texts` to the arguments of the encoder for these, where it takes them.
        texts: those that are scored, one for each input.
        sources: the tokens of each source, if sources have tokens.
        batch_size: texts that are scored at a time, at most.

    Raises:
        UserError: a text is far too long, or the device is out of memory.
    """
    ids = [language.encode(text) for text in texts]
    lengths = np.array([[len(each) + 1 for each in ids], sources or [1] * len(ids)]).T
    if (too_long := np.flatnonzero(lengths.max(1, initial=0) > LONGEST + 1)).size:
        first, most = too_long[0], lengths[too_long[0]].max() - 1
        raise UserError(
            f"text {first + 1:,} or its source has {most:,} tokens; at most {LONGEST:,} can be scored."
        )
    device = next(model.parameters()).device
    found: list[Likelihood] = [Likelihood([], [])] * len(ids)
    for rows in bucketed_batches(lengths, batch_size, max_tokens=MOST_TOKENS, shuffle=False):
        batch = Batch.collate((), [ids[row] for row in rows]).to(device)
        with naming_batch_size(len(rows)), arithmetic(device, "fp32"):
            batch = replace(batch, inputs=inputs(rows.tolist()))
            values = _of_targets(model.target_logits(batch), batch)
        parts = to_host(values).split([len(ids[row]) + 1 for row in rows])
        for row, part in zip(rows, parts, strict=True):
            tokens = [language.vocabulary.tokens[token] for token in ids[row]]
            found[row] = Likelihood(tokens, part.tolist())
    return found


def check_texts(inputs: Sequence[object], texts: Sequence[str], what: str) -> None:
    """Refuse texts that are not a list of one for each input; `what` names an input.

    Raises:
        TypeError: one string, or one input, is given in the place of a list.
        ValueError: they are more or fewer than the inputs.
    """
    if any(isinstance(each, str) or not isinstance(each, Sequence) for each in (texts, inputs)):
        raise TypeError(
            f"a list of {what}s and a list of texts are scored, and not one string or path"
        )
    if len(texts) != len(inputs):
        raise ValueError(f"{len(texts)} texts to be scored for {len(inputs)} {what}s")


def _of_targets(logits: Tensor, batch: Batch) -> Tensor:
    """(N,) log-probabilities of the real target words, sentence by sentence, of their logits (N, V)."""
    targets = batch.targets[:, 1:].flatten().index_select(0, batch.positions)
    log_probabilities = F.log_softmax(logits, -1, dtype=torch.float32)
    return log_probabilities.gather(1, targets[:, None]).squeeze(1)
