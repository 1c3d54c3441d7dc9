"""What captioners and translators share: a trained model that writes sentences of one language."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from operator import add
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias, TypedDict, Unpack

import torch
from torch import Tensor, nn

from common.compute import Precision
from common.compute.device import DeviceLike, choose_device
from common.config.plain import dotted, from_dict, of_today, restored
from common.decoding.constraints import Forbidden, one_for_each
from common.decoding.hypotheses import Hypothesis
from common.decoding.options import SearchOptions
from common.decoding.search import Search
from common.errors import UserError
from common.models.calls import Prefix, check_room, each_prefix
from common.models.describe import describe
from common.models.encoder_decoder import EncoderDecoder, SearchCall, check_call
from common.models.ensemble import EnsembleModel
from common.models.sentence import Sentence
from common.runs.run import Run
from common.text.language import Language
from common.text.vocabulary import UNK

PathLike: TypeAlias = str | os.PathLike[str]

IN_CODE = "built_in_code"  # the setting of a run whose model no options describe


class Call(SearchCall, total=False):
    """What belongs to one call of a search by a writer: a `SearchCall` (by default the token of unknown
    words is never generated), and besides

    precision: arithmetic of the search; that of the writer by default.
    """

    precision: Precision


class Writer:
    """Writes sentences with a trained model.

    A subclass defines how it is made from the folder of a run (`_of_run`), and what the folder keeps of
    it (`_settings`, `_files`).

    Args:
        model: an encoder and a decoder, or an ensemble; it is put into evaluation mode.
        language: the tokens of the decoder.
        search: the default strategy.
        precision: the default arithmetic of the search.
        longest: the most tokens of a target in training, by the number of tokens of its source (by 0
            where sources have none); () where nothing is known of it.
    """

    KIND: ClassVar[str]
    """The kind of its runs in their config.json."""
    ALIKE: ClassVar[tuple[str, ...]] = ()
    """Settings, by dotted names, that the runs of an ensemble must share."""

    def __init__(
        self,
        model: EncoderDecoder | EnsembleModel,
        language: Language,
        search: Search,
        precision: Precision,
        longest: Sequence[int] = (),
    ) -> None:
        self.model = model.eval()
        self.language = language
        self.search = search
        self.precision = precision
        self.longest = tuple(longest)

    @classmethod
    def from_run(
        cls,
        folder: PathLike,
        *more: PathLike,
        model: nn.Module | None = None,
        device: DeviceLike = "auto",
    ) -> Self:
        """The writer that a run has trained; with more runs, the ensemble of all of them.

        Nothing but the folders is needed, and no code in them is run.

        Args:
            folder: of a run, written by a training or by `save`.
            more: runs whose probabilities are averaged with those of the first.
            model: the model that the weights are loaded into, if it was built in code: the folder does
                not describe its architecture.
            device: cpu, cuda, ... or a `torch.device`; auto takes a GPU if there is one.

        Raises:
            UserError: a folder is no run of this kind, or an incomplete one, or of a newer version; or
                the runs of an ensemble differ in what they keep besides their weights.
            ValueError: a model is given for several runs.
        """
        if model is not None and more:
            raise ValueError("one model takes the weights of one run: make an ensemble in code")
        runs = [Run.open(each, cls.KIND) for each in (folder, *more)]
        for run in runs[1:]:
            _check_alike(runs[0], run, cls.ALIKE)
        members = []
        for run in runs:
            if model is None and run.config.get(IN_CODE):
                raise UserError(
                    f"{run.path} was saved from code, without a description of its model, which was "
                    "built in code: build it again, and name it: from_run(folder, model=mine)."
                )
            member = cls._of_run(run, model)
            run.load_model(member.model)
            member.model = member.model.to(choose_device(device)).eval()
            members.append(member)
        if more:
            members[0].model = EnsembleModel([each.model for each in members]).eval()  # type: ignore
        return members[0]

    def save(self, folder: PathLike, *, overwrite: bool = False) -> None:
        """Write a run folder from which `from_run` makes this writer again, given its model.

        Args:
            folder: is made; or an empty one.
            overwrite: replace the run that is there.

        Raises:
            UserError: there is a run already, or other files.
        """
        search = asdict(SearchOptions.of(self.search, self.precision))
        settings = self._settings() | {"search": search, "longest": self.longest, IN_CODE: True}
        kept = dict(self._files())
        run = Run.create(folder, self.KIND, settings, overwrite=overwrite, keep=kept)
        run.save_model(self.model)

    @classmethod
    def _of_run(cls, run: Run, model: nn.Module | None) -> Self:
        """The writer of a run, without its weights; built from its options if no model is given."""
        raise NotImplementedError

    def _settings(self) -> dict[str, Any]:
        """The configuration that `_of_run` needs besides the files, if a model is given."""
        return {}

    def _files(self) -> Iterable[tuple[str, Callable[[Path], None]]]:
        """The names of the files that a run keeps of it, each with a function that writes it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """What it is, in two lines."""
        words = f"a vocabulary of {len(self.language.vocabulary):,}"
        about = f"{describe(self.members)} on {self.device}, {words}"
        chosen = [
            f"{each.name}={getattr(self.search, each.name)!r}"
            for each in fields(self.search)
            if getattr(self.search, each.name) != each.default
        ]
        search = f"{type(self.search).__name__}({', '.join(chosen)})"
        return f"{type(self).__name__}({about},\n    {search})"

    @property
    def members(self) -> list[EncoderDecoder]:
        """The model; of an ensemble, its models."""
        return [*self.model.models] if isinstance(self.model, EnsembleModel) else [self.model]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def has_attention(self) -> bool:
        """Whether the model, or one of an ensemble, has attention."""
        return any(member.decoder.attention is not None for member in self.members)

    def most_tokens(self, source: int = 0) -> int:
        """The most tokens of a sentence where nobody says how many.

        As many as training showed: the longest target of a source that is no longer. Beyond the
        longest source of the training, in proportion; and never fewer than `_usual_length`.

        Args:
            source: the tokens of its source; 0 where sources have none.
        """
        last = len(self.longest) - 1
        shown = self.longest[min(source, last)] if self.longest else 0
        if 0 < last < source:
            shown = math.ceil(shown * source / last)
        return max(shown, self._usual_length(source))

    def _usual_length(self, source: int) -> int:
        """The least that `most_tokens` gives for a source of so many tokens."""
        raise NotImplementedError

    def write(
        self,
        inputs: tuple[Tensor, ...],
        search: Search | None = None,
        *,
        sources: Sequence[int] | None = None,
        prefix: Prefix = None,
        **call: Unpack[Call],
    ) -> list[list[Sentence]]:
        """Write sentences for a batch of encoder inputs.

        Args:
            inputs: the arguments of the encoder; the first is on the device of the model.
            search: the strategy; that of the writer by default. Where neither it nor the call bounds
                the length of a sentence, `most_tokens` does.
            sources: the tokens of each source, if sources have tokens.
            prefix: what each sentence begins with, as text. A word of it that the vocabulary lacks is
                in the sentence as it is spelt; the model reads the token of unknown words.
            call: see `Call`.

        Returns:
            For each input its sentences, best first.

        Raises:
            UserError: a prefix is longer than its sentence may be.
            TypeError: the search is no strategy, or an argument is none of a call.
        """
        check_call(search, call, Call.__optional_keys__)
        call.setdefault("constraints", (Forbidden((UNK,)),))
        call.setdefault("precision", self.precision)
        search = search or self.search
        batch = len(inputs[0])
        begun = [self.language.tokenizer.encode(text) for text in each_prefix(prefix, batch)]
        bound = call.get("max_length", search.max_length)
        bound = search.max_length if bound is None else bound
        if bound is not None:
            check_room(begun, one_for_each(bound, batch, "max_length"))
        else:
            bounds = map(self.most_tokens, [0] * batch if sources is None else sources)
            shortest = one_for_each(
                call.get("min_length") or search.min_length, batch, "min_length"
            )
            # Of what follows the prefix, of which training shows nothing.
            most = map(add, bounds, map(len, begun))
            call["max_length"] = list(map(max, most, shortest))
        if any(begun):
            call["prefixes"] = [self.language.vocabulary.encode(tokens) for tokens in begun]
        found = self.model.generate(*inputs, search=search, **call)
        return [
            [self.sentence(each, tokens) for each in best]
            for best, tokens in zip(found, begun, strict=True)
        ]

    def recorded(self, search: Search | None, call: Call) -> dict[str, Any]:
        """The search and its precision, as `Evaluation.recorded` takes them."""
        precision = call.get("precision", self.precision)
        return {"search": (search or self.search).to_dict(), "precision": precision}

    def sentence(self, hypothesis: Hypothesis, begun: Sequence[str] = ()) -> Sentence:
        """A hypothesis as text; `begun` are the tokens that it was to begin with, as they are spelt."""
        tokens = [self.language.vocabulary.tokens[token] for token in hypothesis.tokens]
        tokens[: len(begun)] = begun
        text = self.language.tokenizer.decode(tokens)
        scores = hypothesis.score, hypothesis.log_probability
        return Sentence(text, tokens, *scores, hypothesis.attention)

    def attention_while_writing(
        self, inputs: tuple[Tensor, ...], tokens: Sequence[str]
    ) -> Tensor | None:
        """The attention weights of given tokens for one input: (T + 1, S) with a row for the end token,
        float32 on the host; None without attention."""
        ids = self.language.vocabulary.encode(list(tokens))
        weights = self.model.attention_weights(inputs, [ids])
        return None if weights is None else weights[0]


class WriterDefaults(TypedDict):
    """How a run writes where a call does not say otherwise: arguments of its `Writer`."""

    search: Search
    precision: Precision
    longest: Sequence[int]


def writer_defaults(run: Run, options: type) -> WriterDefaults:
    """The defaults of a run, from its configuration; `options` are those of its trainings."""
    config, where = of_today(options, run.format, run.config), str(run.path / "config.json")
    names = {name: config[name] for name in ("search", "longest") if name in config}
    found = restored(options, names, where)
    search = from_dict(SearchOptions, names.get("search", {}), where)
    return {
        "search": search.strategy(where), "precision": search.search_precision,
        "longest": found.get("longest", ()),
    }  # fmt: skip


def _check_alike(first: Run, other: Run, settings: Sequence[str]) -> None:
    """Refuse runs that differ in their tokens or in how they read images."""
    ours, theirs = (
        {name: digest for name, digest in run.digests.items() if name != "data.json"}
        | {name: value for name, value in dotted(run.config) if name in settings}
        for run in (first, other)
    )
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise UserError(
                f"{other.path} has another {name} than {first.path}: an ensemble needs runs that were "
                "trained on the same data, with the same options for its words and pictures."
            )
