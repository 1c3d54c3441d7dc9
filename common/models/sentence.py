"""A sentence that a model wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Sentence:
    """A sentence that a model wrote.

    Args:
        text: the sentence.
        tokens: its tokens, as the model wrote them.
        score: the length-normalised log-probability by which sentences are ranked.
        log_probability: of the whole sentence, in nats.
        attention: (T, S) attention weights, float32 on the host, if they were requested; T counts the
            tokens, and the end token if the sentence has one.
    """

    text: str
    tokens: list[str]
    score: float
    log_probability: float
    attention: Tensor | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Its fields that JSON can hold."""
        return {name: each for name, each in vars(self).items() if name != "attention"}
