"""Sentence in, sentence out: the trained translator as a user of it sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from common.decoding.hypotheses import Hypothesis
from common.device import upload
from common.encoder_decoder import EncoderDecoder
from common.ensemble import EnsembleModel
from common.errors import UserError
from common.text.language import Language
from common.text.vocabulary import BOS, PAD, UNK
from common.training.batching import bucketed_batches
from seq2seq.examples import source_batch

MAX_SOURCE = 400  # tokens of a sentence: longer lines are translated in parts
MAX_READ = 8_192  # tokens of a batch: of long sentences fewer are translated at a time


@dataclass(frozen=True)
class Translation:
    """A sentence in the target language.

    Args:
        text: the sentence.
        tokens: its tokens, as the model wrote them.
        score: the length-normalised log-probability by which translations are ranked.
        log_probability: of the whole sentence, in nats.
    """

    text: str
    tokens: list[str]
    score: float
    log_probability: float


NOTHING = Translation("", [], 0.0, 0.0)


class Translator:
    """Translates sentences.

    Args:
        model: an encoder of sentences and a decoder, or an ensemble.
        source: the language that is read.
        target: the language that is written.
        search: options of `SentenceWriter.generate` where a call does not say otherwise.
    """

    def __init__(
        self,
        model: EncoderDecoder | EnsembleModel,
        source: Language,
        target: Language,
        search: Mapping[str, Any] = MappingProxyType({"beam_size": 5, "max_length": 100}),
    ) -> None:
        self.model = model.eval()
        self.source = source
        self.target = target
        self.search = dict(search)

    @classmethod
    def from_run(
        cls, folder: str | os.PathLike[str], *more: str | os.PathLike[str], device: str = "auto"
    ) -> Translator:
        """The translator that a run has trained; with more runs, the ensemble of all of them.

        The folders alone are needed, and no code in them is run.

        Raises:
            UserError: a folder is no translation run, or an incomplete one, or of a newer version;
                or the runs of an ensemble do not share their vocabularies.
        """
        # The run's options know how it was built; importing them here keeps this class free of them.
        from seq2seq.loading import load_ensemble

        return load_ensemble([Path(folder), *map(Path, more)], device)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def translate(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 64,
        replace_unknown: bool = False,
        **search: Any,
    ) -> list[str]:
        """The best translation of each text; a blank text stays blank.

        Args:
            texts: one sentence each; one of more than a few hundred tokens is translated in parts.
            batch_size: sentences translated at a time, at most.
            replace_unknown: allow the unknown word, and put the source word in its place that the
                decoder looked at most; needs attention. Otherwise the unknown word is never written.
            search: options of `SentenceWriter.generate`: beam_size, max_length, length_penalty, ...
        """
        options = {"batch_size": batch_size, "replace_unknown": replace_unknown} | search
        return [found[0].text for found in self.translations(texts, **options)]

    def translations(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 64,
        replace_unknown: bool = False,
        **search: Any,
    ) -> list[list[Translation]]:
        """As `translate`, but `n_best` (an option of the search) translations a text, best first.

        Always so many: where the search found fewer, its last stands again.
        """
        if isinstance(texts, str):
            raise TypeError("texts is a list of sentences, not one string")
        texts = list(texts)
        n_best = (self.search | search).get("n_best", 1)
        parts: list[list[str]] = []  # of all texts, one after the other
        owners: list[int] = []
        for number, text in enumerate(texts):
            tokens = self.source.tokenizer.encode(text) if text.strip() else []
            pieces = [tokens[at : at + MAX_SOURCE] for at in range(0, len(tokens), MAX_SOURCE)]
            parts += pieces
            owners += [number] * len(pieces)
        found = self.translate_tokens(
            parts, batch_size=batch_size, replace_unknown=replace_unknown, **search
        )
        by_text: list[list[list[Translation]]] = [[] for _ in texts]
        for owner, best in zip(owners, found, strict=True):
            by_text[owner].append(best)
        return [_joined(each, n_best) for each in by_text]

    def translate_tokens(
        self,
        sentences: Sequence[Sequence[str]],
        *,
        batch_size: int = 64,
        replace_unknown: bool = False,
        **search: Any,
    ) -> list[list[Translation]]:
        """Translations of sentences that are tokens of the source language already.

        Sentences of similar length are translated together, so that little is padded; the results
        are in the order that was given.

        Raises:
            UserError: unknown words are to be replaced, and the model has no attention.
        """
        if replace_unknown and not self.has_attention:
            raise UserError("unknown words are replaced by attention: this translator has none.")
        results: list[list[Translation]] = [[] for _ in sentences]
        lengths = [len(tokens) for tokens in sentences]
        for rows in bucketed_batches(lengths, batch_size, max_tokens=MAX_READ, shuffle=False):
            chosen = [sentences[row] for row in rows]
            for row, best in zip(rows, self._search(chosen, replace_unknown, search), strict=True):
                results[row] = best
        return results

    @property
    def has_attention(self) -> bool:
        """Whether the model looks at the source words while it writes."""
        return self.attention(["a"], ["a"]) is not None

    def attention(self, source: Sequence[str], target: Sequence[str]) -> Tensor | None:
        """Where the decoder looks while it writes given tokens: (T + 1, S + 1), end tokens included.

        On the host. None for a model without attention.
        """
        sentences = [self.target.vocabulary.encode(list(target))]
        weights = self.model.attention_weights(self._inputs([source]), sentences)
        return None if weights is None else weights[0]

    def _inputs(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, ...]:
        ids = [self.source.vocabulary.encode(list(tokens)) for tokens in sentences]
        tokens, lengths = source_batch(ids)
        return upload(tokens, self.device), lengths

    def _search(
        self, sentences: list[Sequence[str]], replace_unknown: bool, search: dict[str, Any]
    ) -> list[list[Translation]]:
        forbidden = (PAD, BOS) if replace_unknown else (PAD, BOS, UNK)
        options = self.search | search
        # Never much longer than what is translated: what runs on is cut off soon.
        limits = [min(options["max_length"], 2 * len(tokens) + 10) for tokens in sentences]
        floors = [min(options.get("min_length", 0), limit) for limit in limits]
        options |= {"max_length": limits, "min_length": floors}
        found = self.model.generate(*self._inputs(sentences), forbidden=forbidden, **options)
        return [
            [self._translation(hypothesis, tokens) for hypothesis in best]
            for tokens, best in zip(sentences, found, strict=True)
        ]

    def _translation(self, hypothesis: Hypothesis, source: Sequence[str]) -> Translation:
        tokens = [self.target.vocabulary.tokens[token] for token in hypothesis.tokens]
        if UNK in hypothesis.tokens:
            tokens = self._without_unknown(tokens, source)
        text = self.target.tokenizer.decode(tokens)
        return Translation(text, tokens, hypothesis.score, hypothesis.log_probability)

    def _without_unknown(self, target: list[str], source: Sequence[str]) -> list[str]:
        """The tokens, each unknown one replaced by the source token that was looked at most."""
        weights = self.attention(source, target)
        assert weights is not None
        looked = weights[:, : len(source)].argmax(1).tolist()
        unknown = self.target.vocabulary.tokens[UNK]
        return [
            source[looked[step]] if token == unknown else token for step, token in enumerate(target)
        ]


def _joined(parts: list[list[Translation]], n_best: int) -> list[Translation]:
    """The translations of a text from those of its parts: the best of each, the second of each..."""
    if not parts:
        return [NOTHING] * n_best
    ranked = [[found[min(rank, len(found) - 1)] for found in parts] for rank in range(n_best)]
    return [each[0] if len(each) == 1 else _one_after_another(each) for each in ranked]


def _one_after_another(parts: list[Translation]) -> Translation:
    return Translation(
        " ".join(part.text for part in parts),
        [token for part in parts for token in part.tokens],
        sum(part.score for part in parts) / len(parts),
        sum(part.log_probability for part in parts),
    )
