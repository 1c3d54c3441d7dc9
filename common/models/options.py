"""What a command line lets a user choose about the loss of sentences, and about writing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from common.config.bounds import Amount, Bounds, DropoutRate, Fraction, Layers, Positive, Seed, Size
from common.config.changes import MAY_CHANGE
from common.config.marks import BASIC, HIDDEN, POSITIONAL, Metavar
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError, one_line
from common.models.load_options import LoadOptions
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
    from common.text.language import Language
    from common.text.tokenizer import Tokenizer

SUBWORDS = 8000  # that are learnt, where nobody says how many


@dataclass(frozen=True)
class TextOptions:
    """How text becomes the tokens that the model reads and writes."""

    tokenizer: Literal["words", "characters", "subwords", "whitespace"] = "words"
    """Words (in translation with punctuation), characters, SentencePiece subwords that are learnt from
    the training text, or what stands between blanks (whitespace): for text that is tokens already, as
    formulas are, which stays as it is. Scripts without blanks need subwords or characters."""
    lowercase: bool = True
    """Fold to lower case, but for whitespace, which changes nothing; translations are then scored in
    lower case, as their signatures record."""
    min_count: Positive = 2
    """Fewest times that a word must occur in the training text; rarer ones are unknown."""
    vocabulary_size: Annotated[int | None, Bounds(5)] = None
    """Most words of a vocabulary, all by default; or the number of subwords that are learnt, 8,000 by
    default."""
    subword_model: Literal["bpe", "unigram"] = "bpe"
    """How subwords are learnt: byte-pair encoding or a unigram language model."""

    @property
    def folded(self) -> bool:
        """Whether text is folded to lower case."""
        return self.lowercase and self.tokenizer != "whitespace"

    def learn(
        self, texts: Callable[[str], Iterable[str]], *, punctuation: bool = False
    ) -> Language:
        """The tokenizer of these options, and the vocabulary of a training text.

        Args:
            texts: gives its sentences anew for each thing that is learnt from them, by its name.
            punctuation: whether punctuation is among the words.

        Raises:
            UserError: the text is too small for the subwords, or has too many characters.
        """
        from common.text.language import Language
        from common.text.subword import SubwordTokenizer
        from common.text.tokenizer import CharacterTokenizer, WhitespaceTokenizer, WordTokenizer
        from common.text.vocabulary import Vocabulary

        # Every character and subword is kept, however rare: without it, its text could not be written.
        # Some subwords are only steps to longer ones; rare words need them.
        always: tuple[str, ...] = ()
        least, most = 1, self.vocabulary_size
        tokenizer: Tokenizer
        if self.tokenizer == "characters":
            tokenizer, most = CharacterTokenizer(lowercase=self.folded), None
        elif self.tokenizer == "subwords":
            most = SUBWORDS if most is None else most
            tokenizer = SubwordTokenizer.train(
                texts("subwords"), most, kind=self.subword_model, lowercase=self.folded
            )
            always = tokenizer.pieces
        else:
            least, tokenizer = self.min_count, WhitespaceTokenizer()
            if self.tokenizer == "words":
                tokenizer = WordTokenizer(lowercase=self.folded, punctuation=punctuation)
        tokens = map(tokenizer.encode, texts("vocabulary"))
        return Language(tokenizer, Vocabulary.build(tokens, least, most, always))


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
class WritingOptions:
    """How a trained run, or the ensemble of several, writes."""

    run: Annotated[Path, POSITIONAL]
    """A folder that `train` wrote."""
    device: Annotated[str, BASIC, Metavar("DEVICE")] = "auto"
    """cpu, cuda, cuda:1, mps, or any other device of PyTorch; auto takes a GPU if there is one."""
    batch_size: Positive = 64
    """Sentences written at a time."""
    ensemble: Annotated[tuple[Path, ...], Metavar("RUN")] = ()
    """More runs with the same words: the probabilities of all are averaged at every step."""
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
class EvaluationOptions(WritingOptions):
    """Write a sentence for everything in a split by a search, and score what was written."""

    split: Annotated[str, BASIC] = "val"
    """Which part of the data: val, test, or any other split."""
    data: Annotated[str | None, BASIC, Metavar("DIR")] = None
    """Folder of the data, if it is no longer where the run was trained on it."""
    encoding: Annotated[str | None, Metavar("NAME")] = None
    """Encoding of its text files; that of the training, or for other data UTF-8, by default."""

    def arguments(self) -> dict[str, Any]:
        """As the pipelines' `evaluate_run` takes them, after the run."""
        from common.compute.device import choose_device

        names = {each.name for each in fields(self)} - {"run", "seed", "search"}
        call = self.call(choose_device(self.device))
        return {name: getattr(self, name) for name in names} | {
            "search": self.search.strategy(), **call
        }  # fmt: skip
