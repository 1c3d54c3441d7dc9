"""What a command line lets a user choose about the loss of sentences, and about writing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from common.config.bounds import Amount, DropoutRate, Fraction, Layers, Positive, Seed, Size
from common.config.changes import MAY_CHANGE
from common.config.marks import BASIC, HIDDEN, POSITIONAL, Metavar
from common.config.quiet import Quiet
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError, one_line
from common.models.load_options import LoadOptions
from common.models.text_options import TextOptions as TextOptions
from common.recurrent.names import CellName, Initialization
from common.training.options import RunOptions

if TYPE_CHECKING:
    import torch
    from torch import nn

    from common.decoding.decoder import RecurrentDecoder
    from common.decoding.scheduled_sampling import ScheduledSampling
    from common.models.encoder_decoder import EncoderDecoder
    from common.models.language_model import LanguageModel
    from common.models.writer import Call
    from common.runs.kept import Kept


@dataclass(frozen=True)
class LossOptions:
    """What a decoder is trained to do, and what it is fed meanwhile."""

    label_smoothing: Fraction = 0.1
    """Probability of the target that is spread over all words."""
    teacher_forcing_ratio: Fraction = 1.0
    """Fraction of the previous words that are those of the reference while training; in the place of
    the others the decoder is fed its own predictions (scheduled sampling, Bengio et al. 2015)."""
    teacher_forcing: Literal["constant", "linear", "exponential", "inverse_sigmoid"] = "constant"
    """How that fraction falls from 1 to the ratio, if it is not the ratio from the start."""
    teacher_forcing_steps: Positive = 5000
    """Batches after which a falling fraction has come to one half."""
    teacher_forcing_per: Literal["token", "sentence"] = "token"
    """Sample anew for every token, or once for a sentence."""
    coverage: Amount = 0.0
    """Weight of doubly stochastic attention (Show, Attend and Tell used 1)."""

    def check(self, decoder: DecoderOptions) -> None:
        """Refuse options that do not go together, by a `UserError`, before anything slow is done."""
        if self.coverage and decoder.attention == "none":
            raise UserError("--coverage regularises attention: choose one, or leave it out.")
        if self.teacher_forcing != "constant" and self.teacher_forcing_ratio == 1:
            raise UserError(
                f"--teacher-forcing {self.teacher_forcing} falls to --teacher-forcing-ratio: "
                "choose one below 1."
            )

    def make_model(self, encoder: nn.Module, decoder: RecurrentDecoder) -> EncoderDecoder:
        """An encoder and a decoder with the loss of these options."""
        from common.models.encoder_decoder import EncoderDecoder

        return EncoderDecoder(
            encoder, decoder, label_smoothing=self.label_smoothing, coverage=self.coverage,
            scheduled_sampling=self.make_scheduled_sampling(),
        )  # fmt: skip

    def make_scheduled_sampling(self) -> ScheduledSampling | None:
        """What feeds the decoder its own predictions while it trains; None under teacher forcing."""
        from common.decoding import scheduled_sampling as sampling
        from common.text.vocabulary import BOS, PAD

        floor, steps = self.teacher_forcing_ratio, self.teacher_forcing_steps
        if floor == 1:
            return None
        ratios = {
            "constant": lambda: sampling.constant_ratio(floor),
            "linear": lambda: sampling.linear_ratio(2 * steps, floor),
            "exponential": lambda: sampling.exponential_ratio(0.5 ** (1 / max(1, steps)), floor),
            "inverse_sigmoid": lambda: sampling.inverse_sigmoid_ratio(steps, floor),
        }
        try:
            ratio = ratios[self.teacher_forcing]()
            per = self.teacher_forcing_per
            return sampling.ScheduledSampling(ratio, per=per, forbidden=(PAD, BOS))
        except ValueError as error:
            raise UserError(f"--teacher-forcing {self.teacher_forcing}: {error}.") from None


@dataclass(frozen=True)
class LanguageModelOptions:
    """The network that predicts the next token, as `LanguageModel` takes it."""

    cell: Annotated[CellName, BASIC] = "rnn"
    """Recurrent cell."""
    hidden_size: Annotated[Size, BASIC] = 100
    """Features of a hidden state."""
    num_layers: Layers = 1
    """Stacked recurrent layers."""
    embedding_size: Annotated[Size | None, BASIC] = None
    """Features of a token; one-hot by default."""
    tie_embeddings: bool = False
    """Compute the logits with the embedding matrix itself."""
    initialization: Initialization = "orthogonal"
    """How the weights begin; keras is Keras' default."""
    token_dropout: DropoutRate = 0.0
    """Fraction of the vocabulary whose embeddings are dropped from a batch."""
    input_dropout: DropoutRate = 0.0
    """Fraction of the embedding features dropped while training."""
    layer_dropout: DropoutRate = 0.0
    """Fraction of the features dropped between recurrent layers."""
    weight_dropout: DropoutRate = 0.0
    """Fraction of the recurrent weights dropped, for all steps of a batch."""
    output_dropout: DropoutRate = 0.0
    """Fraction of the recurrent outputs dropped."""
    locked: bool = False
    """Drop the same features of inputs and outputs at every step of a text."""

    def build(self, vocabulary_size: int, rows: int = 0) -> LanguageModel:
        """The model of these choices; the arguments are those of `LanguageModel`."""
        from common.models.language_model import LanguageModel

        choices = {field.name: getattr(self, field.name) for field in fields(self)}
        try:
            return LanguageModel(vocabulary_size, rows=rows, **choices)
        except ValueError as error:
            raise UserError(f"these options do not go together: {one_line(error)}.") from None


@dataclass(frozen=True, kw_only=True)
class WriterRunOptions(RunOptions, LoadOptions):
    """What a training of a model that writes sentences lets a user choose; a pipeline adds its own."""

    decoder: DecoderOptions = DecoderOptions()
    search: SearchOptions = SearchOptions()
    loss: LossOptions = LossOptions()
    longest: Annotated[tuple[int, ...], HIDDEN, MAY_CHANGE] = ()
    """The most tokens of a training target, by the number of tokens of its source (by 0 where sources
    have none); found in training, and kept by the run."""

    MODEL = ("text", "encoder", "decoder")
    # Tokens that may be written of any length where nobody says how many. Not an option: no annotation.
    USUAL_LENGTH = 40

    def with_lengths(self, kept: Kept, shown: Callable[[], tuple[int, ...]]) -> Self:
        """With the lengths that a training shows, or, where it goes on or is used, with those it has
        kept."""
        longest = shown() if kept.run is None else kept.run.read_config(type(self)).longest
        return replace(self, longest=longest)

    def with_val_fraction(self, kept: Kept, usual: float) -> Self:
        """With the fraction for validation that a new run begins with, if none is given, or that a run
        that goes on was begun with: it keeps its splits."""
        if self.val_fraction is not None or not (kept.new or self.resume):
            return self
        begun = None if kept.run is None else kept.run.read_config(type(self))
        return replace(self, val_fraction=usual if begun is None else begun.val_fraction)

    def check(self) -> None:
        """Refuse options that do not go together, by a `UserError`, before anything slow is done."""
        super().check()
        if unknown := [each for each in self.init_parts if each not in ("encoder", "decoder")]:
            raise UserError(
                f"--init-parts {unknown[0]}: the parts of this model are encoder, decoder."
            )
        self.check_encoding()
        self.loss.check(self.decoder)
        self.search.strategy()

    @classmethod
    def of_format(cls, format: int, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration of a run of an earlier version, as these options have it.

        In format 1 the options of the loss were among those of the training, which could also average
        the weights of its best validations. Before runs kept the lengths of their targets, there was
        a default in their place.
        """
        search = config.get("search", {})
        known = "longest" in config or not isinstance(search, dict)
        if not known and search.get("max_length") == cls.USUAL_LENGTH:
            config = {**config, "search": {**search, "max_length": None}}
        if format > 1:
            return config
        moved = {field.name for field in fields(LossOptions)}
        training = dict(config.get("training", {}))
        training.pop("average_best", None)
        loss = {name: training.pop(name) for name in moved & training.keys()}
        return {**config, "training": training, "loss": loss}


@dataclass(frozen=True, kw_only=True)
class TrainedOptions(Quiet):
    """What is used: a trained run, or the ensemble of several."""

    run: Annotated[Path, POSITIONAL]
    """A folder that `train` wrote."""
    device: Annotated[str, BASIC, Metavar("DEVICE")] = "auto"
    """cpu, cuda, cuda:1, mps, or any other device of PyTorch; auto takes a GPU if there is one."""
    batch_size: Positive = 64
    """Sentences that are worked on at a time."""
    ensemble: Annotated[tuple[Path, ...], Metavar("RUN")] = ()
    """More runs with the same words: the probabilities of all are averaged at every step."""


@dataclass(frozen=True, kw_only=True)
class WritingOptions(TrainedOptions):
    """How a trained run, or the ensemble of several, writes."""

    seed: Seed | None = None
    """Seed of sampling; by default, every call draws other samples."""
    search: SearchOptions = SearchOptions()

    def call(self, device: torch.device) -> Call:
        """What belongs to a search on a device besides its strategy."""
        import torch

        call: Call = {"precision": self.search.search_precision}
        if self.seed is not None:
            call["generator"] = torch.Generator(device).manual_seed(self.seed)
        return call


@dataclass(frozen=True, kw_only=True)
class PrefixOptions(WritingOptions):
    """How sentences are written that a user asks for."""

    prefix: Annotated[str | None, Metavar("TEXT")] = None
    """Begin every sentence with these words, and go on from there. A word that the run does not know is
    written as it stands."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(WritingOptions):
    """Write a sentence for everything in a split by a search, and score what was written."""

    split: Annotated[str, BASIC] = "val"
    """Which part of the data: val, test, or any other split."""
    data: Annotated[str | None, BASIC, Metavar("DIR")] = None
    """Folder of the data, if it is no longer where the run was trained on it."""
    max_problems: Fraction | None = None
    """Fraction of the data that may be damaged; as in training by default."""
    encoding: Annotated[str | None, Metavar("NAME")] = None
    """Encoding of its text files; that of the training, or for other data UTF-8, by default."""

    def arguments(self) -> dict[str, Any]:
        """As the pipelines' `evaluate_run` takes them, after the run."""
        from common.compute.device import choose_device

        names = {each.name for each in fields(self)} - {"run", "seed", "search", "quiet"}
        call = self.call(choose_device(self.device))
        return {name: getattr(self, name) for name in names} | {
            "search": self.search.strategy(), **call
        }  # fmt: skip
