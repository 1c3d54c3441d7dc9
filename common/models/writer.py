"""What a captioner and a translator share: a trained model that writes sentences of one language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from common.compute import Precision
from common.decoding.constraints import Constraint, Forbidden, Lengths
from common.decoding.hypotheses import Hypothesis
from common.decoding.search import Search
from common.models.encoder_decoder import EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.text.language import Language
from common.text.vocabulary import UNK


@dataclass(frozen=True)
class Sentence:
    """A sentence that a model wrote.

    Args:
        text: the sentence.
        tokens: its tokens, as the model wrote them.
        score: the length-normalised log-probability by which sentences are ranked.
        log_probability: of the whole sentence, in nats.
        attention: (T, S) where the model looked, float32 on the host, if that was asked for; T counts
            the tokens, and the end token where the sentence ended.
    """

    text: str
    tokens: list[str]
    score: float
    log_probability: float
    attention: Tensor | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        names = ("text", "tokens", "score", "log_probability")
        return {name: getattr(self, name) for name in names}


class Call(TypedDict, total=False):
    """What belongs to one call of a search, by name.

    precision: arithmetic of the search; that of the writer by default.
    constraints: what may not be written. By default the token of unknown words is not: a reader has no
        use for it.
    max_length, min_length: a bound for each sentence, in the place of the strategy's own.
    generator: source of random numbers, on the model's device.
    keep_attention: give each sentence the weights with which it was written.
    """

    precision: Precision
    constraints: Sequence[Constraint]
    max_length: Lengths | None
    min_length: Lengths | None
    generator: torch.Generator | None
    keep_attention: bool


class Writer:
    """Writes sentences with a trained model.

    Args:
        model: an encoder and a decoder, or an ensemble; it is put into evaluation mode.
        language: the tokens of the decoder.
        search: the strategy where a call does not name one.
        precision: arithmetic of the search where a call does not say otherwise.
    """

    def __init__(
        self,
        model: EncoderDecoder | EnsembleModel,
        language: Language,
        search: Search,
        precision: Precision,
    ) -> None:
        self.model = model.eval()
        self.language = language
        self.search = search
        self.precision = precision

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def write(
        self, inputs: tuple[Tensor, ...], search: Search | None = None, **call: Unpack[Call]
    ) -> list[list[Sentence]]:
        """Write sentences for a batch of encoder inputs.

        Args:
            inputs: what the encoder is called with; the first is on the device of the model.
            search: the strategy; that of the writer by default.
            call: see `Call`.

        Returns:
            For each input its sentences, best first.
        """
        call.setdefault("constraints", (Forbidden((UNK,)),))
        call.setdefault("precision", self.precision)
        found = self.model.generate(*inputs, search=search or self.search, **call)
        return [[self.sentence(hypothesis) for hypothesis in best] for best in found]

    def sentence(self, hypothesis: Hypothesis) -> Sentence:
        """What a search found, as text."""
        tokens = [self.language.vocabulary.tokens[token] for token in hypothesis.tokens]
        text = self.language.tokenizer.decode(tokens)
        return Sentence(
            text, tokens, hypothesis.score, hypothesis.log_probability, hypothesis.attention
        )

    def attention_while_writing(
        self, inputs: tuple[Tensor, ...], tokens: Sequence[str]
    ) -> Tensor | None:
        """Where the decoder looks while it writes given tokens for one input.

        Returns:
            (T + 1, S) with a row for the end token, float32 on the host; None without attention.
        """
        weights = self.model.attention_weights(
            inputs, [self.language.vocabulary.encode(list(tokens))]
        )
        return None if weights is None else weights[0]
