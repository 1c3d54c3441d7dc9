"""Sentence in, sentence out: the trained translator as a user of it sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import ne
from pathlib import Path
from typing import Unpack, overload

from torch import Tensor, nn

from common.compute import Precision
from common.compute.device import upload
from common.data.batching import bucketed_batches
from common.decoding.search import BeamSearch, Search
from common.errors import UserError
from common.models.calls import Prefix, of_rows
from common.models.encoder_decoder import EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.models.likelihood import Likelihood, check_texts, likelihoods
from common.models.sentence import Sentence
from common.models.writer import IN_CODE, Call, Writer, writer_defaults
from common.runs.run import Run
from common.text.language import Language
from common.text.scripts import written_without_blanks
from common.text.vocabulary import UNK
from seq2seq.examples import source_batch
from seq2seq.model import build_model
from seq2seq.options import KIND, TrainOptions

MAX_SOURCE = 400  # tokens of a sentence: longer lines are translated in parts
MAX_READ = 8_192  # tokens of a batch: of long sentences fewer are translated at a time

NOTHING = Sentence("", [], 0.0, 0.0)


class Translating(Call, total=False):
    """How sentences are translated, by name: a `Call`, and besides

    batch_size: sentences translated at a time, at most; 64 by default.
    replace_unknown: allow the unknown word, and put the source word in its place that the decoder
        looked at most; needs attention. Otherwise the unknown word is never written.
    prefix: text that each translation begins with: one for all, or a list with one for each. Words that
        the vocabulary lacks are written as they are spelt. A blank text has a blank translation.
    """

    batch_size: int
    replace_unknown: bool
    prefix: Prefix


class Translator(Writer):
    """Translates sentences.

        translator.translate("ein hund rennt.")
        translator.translations(["ein hund rennt.", "eine katze."], BeamSearch(beam_size=5, n_best=3))

    Args:
        model: an encoder of sentences and a decoder, or an ensemble.
        source: the language that is read.
        target: the language that is written.
        search: the strategy where a call does not name one.
        precision: arithmetic of the search where a call does not say otherwise.
        longest: the most tokens of a target in training, by the number of tokens of its source.
    """

    KIND = KIND

    def __init__(
        self,
        model: EncoderDecoder | EnsembleModel,
        source: Language,
        target: Language,
        search: Search = BeamSearch(beam_size=5),
        precision: Precision = "fp32",
        longest: Sequence[int] = (),
    ) -> None:
        super().__init__(model, target, search, precision, longest)
        self.source = source

    @property
    def target(self) -> Language:
        return self.language

    @classmethod
    def _of_run(cls, run: Run, model: nn.Module | None) -> Translator:
        source = Language.load(run.existing, "source_")
        target = Language.load(run.existing, "target_")
        if not run.config.get(IN_CODE):
            options = run.read_config(TrainOptions)
            model = model or run.build_model(
                lambda: build_model(options, source.vocabulary, target.vocabulary)
            )
        return cls(model, source, target, **writer_defaults(run, TrainOptions))  # type: ignore[arg-type]

    def _files(self) -> Iterable[tuple[str, Callable[[Path], None]]]:
        return [*self.source.files("source_"), *self.target.files("target_")]

    @overload
    def translate(  # type: ignore[overload-overlap]  # a text is a sequence of letters
        self, texts: str, search: Search | None = None, **how: Unpack[Translating]
    ) -> str: ...
    @overload
    def translate(
        self, texts: Iterable[str], search: Search | None = None, **how: Unpack[Translating]
    ) -> list[str]: ...
    def translate(
        self, texts: str | Iterable[str], search: Search | None = None, **how: Unpack[Translating]
    ) -> str | list[str]:
        """The best translation of each text, or of the one that is given, blank for a blank one.

        The arguments are those of `translations`.
        """
        if isinstance(texts, str):
            return self.translations(texts, search, **how)[0].text
        return [best[0].text for best in self.translations(texts, search, **how)]

    @overload
    def translations(  # type: ignore[overload-overlap]
        self, texts: str, search: Search | None = None, **how: Unpack[Translating]
    ) -> list[Sentence]: ...
    @overload
    def translations(
        self, texts: Iterable[str], search: Search | None = None, **how: Unpack[Translating]
    ) -> list[list[Sentence]]: ...
    def translations(
        self, texts: str | Iterable[str], search: Search | None = None, **how: Unpack[Translating]
    ) -> list[Sentence] | list[list[Sentence]]:
        """Translations of each text, best first: always as many as the search is to return.

        Where the search found fewer, its last stands again.

        Args:
            texts: one sentence each; one of more than a few hundred tokens is translated in parts. Or
                one text, whose translations are returned alone.
            search: the strategy; that of the translator by default.
            how: batch_size, replace_unknown, precision, ...; see `Translating`.
        """
        if isinstance(texts, str):
            return self.translations([texts], search, **how)[0]
        texts = list(texts) if isinstance(texts, Iterable) else [texts]
        if odd := [each for each in texts if not isinstance(each, str)]:
            raise TypeError(
                f"texts are one sentence or several, of str, not of {type(odd[0]).__name__}"
            )
        parts: list[list[str]] = []  # of all texts, one after the other
        owners: list[int] = []
        for number, text in enumerate(texts):
            tokens = self.source.tokenizer.encode(text) if text.strip() else []
            pieces = [tokens[at : at + MAX_SOURCE] for at in range(0, len(tokens), MAX_SOURCE)]
            parts += pieces
            owners += [number] * len(pieces)
        how = of_rows(how, len(texts), owners)
        if isinstance(begun := how.get("prefix"), list):  # of the first part of each text
            starts = map(ne, owners, [None, *owners])
            how["prefix"] = [text * start for text, start in zip(begun, starts, strict=True)]
        found = self.translate_tokens(parts, search, **how)
        by_text: list[list[list[Sentence]]] = [[] for _ in texts]
        for owner, best in zip(owners, found, strict=True):
            by_text[owner].append(best)
        answers = (search or self.search).answers
        return [_joined(each, answers) for each in by_text]

    def translate_tokens(
        self,
        sentences: Sequence[Sequence[str]],
        search: Search | None = None,
        *,
        batch_size: int = 64,
        replace_unknown: bool = False,
        prefix: Prefix = None,
        **call: Unpack[Call],
    ) -> list[list[Sentence]]:
        """Translations of sentences that are tokens of the source language already.

        Sentences of similar length are translated together, so that little is padded; the results
        are in the order that was given.

        Raises:
            UserError: unknown words are to be replaced, and the model has no attention.
            TypeError: a sentence is a text, and no list of tokens.
        """
        if any(isinstance(each, str) for each in sentences):
            raise TypeError("each sentence is a list of tokens; `translate` takes texts")
        if replace_unknown and not self.has_attention:
            raise UserError("unknown words are replaced by attention: this translator has none.")
        if replace_unknown:
            call.setdefault("constraints", ())
            call["keep_attention"] = True
        search = search or self.search
        results: list[list[Sentence]] = [[] for _ in sentences]
        lengths = [len(tokens) for tokens in sentences]
        for rows in bucketed_batches(lengths, batch_size, max_tokens=MAX_READ, shuffle=False):
            chosen = [sentences[row] for row in rows]
            sources = [lengths[row] for row in rows]
            how = of_rows({**call, "prefix": prefix}, len(sentences), rows)
            found = self.write(self._inputs(chosen), search, sources=sources, **how)
            for row, best in zip(rows, found, strict=True):
                best = [_of_length(each, len(sentences[row])) for each in best]
                if replace_unknown:
                    best = [self._without_unknown(each, sentences[row]) for each in best]
                results[row] = best
        return results

    def score(
        self, sources: Sequence[str], translations: Sequence[str], *, batch_size: int = 64
    ) -> list[Likelihood]:
        """How likely the model finds given translations, each of its source.

        The log-probability is what a search in float32 gives the same tokens.

        Args:
            sources: one sentence each; none is divided into parts.
            translations: of the sources, in their order.
            batch_size: pairs scored at a time, at most.

        Raises:
            ValueError: the translations are not one for each source.
            UserError: a sentence is far too long.
        """
        check_texts(sources, translations, "source")
        tokens = [self.source.tokenizer.encode(text) for text in sources]
        return likelihoods(
            self.model, self.target, lambda rows: self._inputs([tokens[row] for row in rows]),
            translations, sources=[len(each) + 1 for each in tokens], batch_size=batch_size,
        )  # fmt: skip

    def _usual_length(self, source: int) -> int:
        # Not much longer than what is translated: what runs on is cut off soon.
        return min(TrainOptions.USUAL_LENGTH, 2 * source + 10)

    def attention(self, source: Sequence[str], target: Sequence[str]) -> Tensor | None:
        """Where the decoder looks while it writes given tokens: (T + 1, S + 1), end tokens included.

        On the host. None for a model without attention.
        """
        return self.attention_while_writing(self._inputs([source]), target)

    def _inputs(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, ...]:
        ids = [self.source.vocabulary.encode(list(tokens)) for tokens in sentences]
        tokens, lengths = source_batch(ids)
        return upload(tokens, self.device), lengths

    def _without_unknown(self, written: Sentence, source: Sequence[str]) -> Sentence:
        """The sentence, each unknown token replaced by the source token that was looked at most."""
        unknown = self.language.vocabulary.tokens[UNK]
        if unknown not in written.tokens or written.attention is None:
            return written
        looked = written.attention[:, : len(source)].argmax(1).tolist()
        tokens = [
            source[looked[step]] if token == unknown else token
            for step, token in enumerate(written.tokens)
        ]
        return replace(written, text=self.language.tokenizer.decode(tokens), tokens=tokens)


def _of_length(written: Sentence, tokens: int) -> Sentence:
    """The sentence with its attention over the source tokens and their end, without the padding."""
    if written.attention is None:
        return written
    return replace(written, attention=written.attention[:, : tokens + 1])


def _joined(parts: list[list[Sentence]], n_best: int) -> list[Sentence]:
    """The translations of a text from those of its parts: the best of each, the second of each..."""
    if not parts:
        return [NOTHING] * n_best
    ranked = [[found[min(rank, len(found) - 1)] for found in parts] for rank in range(n_best)]
    return [each[0] if len(each) == 1 else _one_after_another(each) for each in ranked]


def _one_after_another(parts: list[Sentence]) -> Sentence:
    texts = [part.text for part in parts]
    return Sentence(
        ("" if written_without_blanks(texts) else " ").join(texts),
        [token for part in parts for token in part.tokens],
        sum(part.score for part in parts) / len(parts),
        sum(part.log_probability for part in parts),
    )
