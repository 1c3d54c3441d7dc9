"""What both command lines let a user choose about the decoder, the search and the training.

Only command lines and run folders know these dataclasses: every class that they configure takes plain
keyword arguments and works without them.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from common.bounds import (
    Amount,
    BeamSize,
    Count,
    Decay,
    DropoutShare,
    Positive,
    Rate,
    Seed,
    Share,
)
from common.decoding.attention import AttentionKind
from common.decoding.decoder import Injection, RecurrentDecoder
from common.decoding.scheduled_sampling import (
    ConstantRatio,
    ExponentialRatio,
    InverseSigmoidRatio,
    LinearRatio,
    RatioSchedule,
    ScheduledSampling,
)
from common.encoder_decoder import EncoderDecoder, LengthNorm, Precision
from common.errors import UserError, one_line
from common.recurrent import GRUCell
from common.recurrent.initialization import Initialization, initialize_
from common.recurrent.layer import CellFactory, StandardCell
from common.text.vocabulary import BOS, PAD
from common.training.schedules import Constant, Cosine, InverseSquareRoot, Plateau, Schedule
from common.training.trainer import Trainer

CellName = Literal["rnn", "rnn_relu", "gru", "gru_cho", "lstm"]


# What a run may be resumed with otherwise than it was begun; each pipeline has more of them.
COMMON_MAY_CHANGE = ("run_dir", "cache_dir", "resume", "overwrite", "data")


def make_cell(name: CellName) -> StandardCell | CellFactory:
    """The cell of that name, as `Recurrent` takes it."""
    return partial(GRUCell, reset_after=False) if name == "gru_cho" else name


@dataclass(frozen=True)
class DecoderOptions:
    """The network that writes the sentence."""

    cell: CellName = "lstm"
    """Recurrent cell; gru_cho resets before the product, as the paper has it."""
    num_layers: Positive = 1
    """Stacked recurrent layers."""
    embedding_size: Positive = 256
    """Features of a word embedding."""
    hidden_size: Positive = 512
    """Features of the hidden state."""
    initialization: Initialization = "pytorch"
    """How the recurrent weights begin; orthogonal (with an open forget gate) learns sooner what many
    steps lie between."""
    inject: tuple[Injection, ...] = ("init", "every")
    """How the context vector enters: init (first state), first (first input), every (each step's
    input), output (output layer); any combination."""
    attention: Literal["none", "additive", "dot", "general", "concat"] = "none"
    """What scores the memory that the decoder may read at every step."""
    attend: Literal["before", "after"] = "before"
    """Attention before the step, feeding its input (Bahdanau), or after the fused pass (Luong)."""
    attention_size: Positive = 512
    """Features in which query and memory meet in additive and concat attention."""
    query_word: bool = False
    """The previous word joins the query of attention before the step: attention then knows what was
    written last."""
    gate: bool = False
    """Scale what attention reads by a learnt scalar at every step (Show, Attend and Tell)."""
    readout: Literal["linear", "tanh", "maxout"] = "tanh"
    """What stands between the joined features and the word scores."""
    readout_size: Positive | None = None
    """Features of the readout; the hidden size by default."""
    deep_output: bool = False
    """Let the previous word join the output layer."""
    tie_embeddings: bool = False
    """Score words with the embedding matrix itself."""
    word_dropout: DropoutShare = 0.0
    """Share of the previous words that are hidden while training."""
    embedding_dropout: DropoutShare = 0.3
    """Share of embedding features dropped while training."""
    layer_dropout: DropoutShare = 0.3
    """Share of features dropped between recurrent layers."""
    output_dropout: DropoutShare = 0.5
    """Share of recurrent outputs and readout features dropped."""

    def build(
        self, vocabulary_size: int, context_size: int, memory_size: int | None
    ) -> RecurrentDecoder:
        """The decoder of these choices for a vocabulary and an encoder's sizes."""
        choices = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        attention: AttentionKind | None = None if self.attention == "none" else self.attention
        choices["attention"] = attention
        choices["cell"] = make_cell(self.cell)
        del choices["initialization"]
        try:
            decoder = RecurrentDecoder(
                vocabulary_size,
                context_size=context_size,
                memory_size=memory_size if attention else None,
                **choices,
            )
            if self.initialization != "pytorch":  # which it has already
                initialize_(decoder.recurrent, self.initialization)
        except ValueError as error:
            raise UserError(
                f"these decoder options do not go together: {one_line(error)}."
            ) from None
        return decoder


@dataclass(frozen=True)
class SearchOptions:
    """How sentences are found when the model writes."""

    beam_size: BeamSize = 5
    """Hypotheses kept for each sentence; 1 is greedy."""
    length_penalty: Amount = 0.7
    """Exponent of the length that a hypothesis' log-probability is divided by; 0 for none."""
    length_norm: LengthNorm = "power"
    """What it is the exponent of: the length (power), or (5 + length) / 6 (gnmt, Wu et al. 2016), which
    is milder on short sentences: a long one that repeats itself is less often preferred to them."""
    min_length: Count = 1
    """Fewest words of a sentence."""
    max_length: Positive = 40
    """Most words of a sentence."""
    no_repeat_ngram: Count = 0
    """Never write the same n words twice; 0 to allow it."""
    beam_patience: Amount | None = 2.0
    """A sentence is done once so many times the beam size of its hypotheses have ended; None searches
    until no other can be better, which takes longer."""
    search_precision: Precision = "fp32"
    """Arithmetic of the products of the search: bf16 is faster where the hardware has it."""

    def arguments(self) -> dict[str, Any]:
        """As the model's `generate` takes them."""
        arguments = dataclasses.asdict(self)
        # Training has a patience and a precision of its own.
        arguments["patience"] = arguments.pop("beam_patience")
        arguments["precision"] = arguments.pop("search_precision")
        return arguments


@dataclass(frozen=True)
class TrainingOptions:
    """How the weights are learnt."""

    epochs: Positive = 30
    """At most so many passes over the training data; a cosine ends with the last."""
    batch_size: Positive = 64
    """Sentences in a batch."""
    learning_rate: Rate = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: Amount = 1e-4
    """Decoupled weight decay of matrices; biases and normalisation are spared."""
    schedule: Literal["constant", "plateau", "cosine", "inverse_sqrt"] = "constant"
    """How the learning rate falls."""
    warmup_steps: Count = 0
    """Updates over which the learning rate rises from 0."""
    clip_norm: Amount = 5.0
    """Largest norm of the gradient of all weights."""
    accumulate: Positive = 1
    """Batches whose gradients make one update."""
    label_smoothing: Share = 0.1
    """Share of the target probability spread over all words."""
    teacher_forcing_ratio: Share = 1.0
    """Share of the previous words that the decoder is told rightly while training; in place of the
    others it is told its own (scheduled sampling, Bengio 2015)."""
    teacher_forcing: Literal["constant", "linear", "exponential", "inverse_sigmoid"] = "constant"
    """How that share falls from 1 to the ratio, if it is not the ratio from the start."""
    teacher_forcing_steps: Positive = 5000
    """Batches after which a falling ratio has come to one half."""
    teacher_forcing_per: Literal["token", "sentence"] = "token"
    """Toss the coin for every token, or once for a sentence."""
    coverage: Amount = 0.0
    """Weight of doubly stochastic attention (Show, Attend and Tell used 1)."""
    average_decay: Decay = 0.0
    """Decay of an exponential moving average of the weights that is validated and saved; 0 for none."""
    average_best: Count = 0
    """At the end, average the weights of so many best validations, and keep the average if it is
    better; 0 for none."""
    patience: Count = 5
    """Epochs without a better validation score after which training ends."""
    max_minutes: Amount | None = None
    """Time after which training ends."""
    precision: Precision = "fp32"
    """Arithmetic of the products: bf16 is faster where the hardware has it."""
    seed: Seed = 0
    """Seed of the weights, dropout and the order of the data."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU if there is one."""
    threads: Positive | None = None
    """CPU threads of the arithmetic; PyTorch's choice by default."""

    def may_change(self) -> tuple[str, ...]:
        """Names of the settings that a run may be resumed with otherwise than it was begun."""
        names = ["patience", "max_minutes", "threads", "device"]
        if self.schedule != "cosine":  # of which every learning rate depends on the last epoch
            names.append("epochs")
        return tuple(f"training.{name}" for name in names)

    def begin(self) -> torch.device:
        """Set the threads and the random generators of this process; the device to work on."""
        if os.environ.get("WORLD_SIZE", "1") != "1":  # each process would write the one run folder
            raise UserError("train is for a single process: start it without torchrun.")
        # oneDNN keeps what it compiles for each shape of a product. Sentences make so many shapes
        # that its default, a thousand, takes gigabytes; most of them do not come back soon.
        for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
            os.environ.setdefault(name, "128")
        if self.threads:
            torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        return choose_device(self.device)

    def make_model(self, encoder: nn.Module, decoder: RecurrentDecoder) -> EncoderDecoder:
        """An encoder and a decoder with the loss of these options."""
        return EncoderDecoder(
            encoder,
            decoder,
            label_smoothing=self.label_smoothing,
            coverage=self.coverage,
            scheduled_sampling=self.make_scheduled_sampling(),
        )

    def make_optimizer(
        self, model: nn.Module, slower: Collection[nn.Parameter] = (), slower_rate: float = 0.0
    ) -> torch.optim.Optimizer:
        """AdamW over the trainable weights of a model.

        Args:
            model: whose parameters are learnt.
            slower: those of them with a learning rate of their own: a pretrained encoder's.
            slower_rate: that learning rate.
        """
        apart = {id(parameter) for parameter in slower}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in model.parameters():
            if parameter.requires_grad:
                rate = slower_rate if id(parameter) in apart else self.learning_rate
                decay = self.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((rate, decay), []).append(parameter)
        return torch.optim.AdamW(
            [
                {"params": parameters, "lr": rate, "weight_decay": decay}
                for (rate, decay), parameters in groups.items()
            ],
            fused=True,  # one pass over the weights instead of a dozen
        )

    def make_schedule(self, steps_per_epoch: int) -> Schedule:
        """The schedule of these options."""
        if self.schedule == "plateau":
            return Plateau(warmup_steps=self.warmup_steps)
        if self.schedule == "cosine":
            total = max(self.warmup_steps + 1, self.epochs * steps_per_epoch)
            return Cosine(total, warmup_steps=self.warmup_steps)
        if self.schedule == "inverse_sqrt":
            return InverseSquareRoot(warmup_steps=self.warmup_steps or 4000)
        return Constant(warmup_steps=self.warmup_steps)

    def make_scheduled_sampling(self) -> ScheduledSampling | None:
        """What feeds the decoder its own words while it trains; None under teacher forcing."""
        floor, steps = self.teacher_forcing_ratio, self.teacher_forcing_steps
        if floor == 1:
            return None
        try:
            ratio: RatioSchedule
            if self.teacher_forcing == "constant":
                ratio = ConstantRatio(floor)
            elif self.teacher_forcing == "linear":
                ratio = LinearRatio(2 * steps, floor)
            elif self.teacher_forcing == "exponential":
                ratio = ExponentialRatio(0.5 ** (1 / max(1, steps)), floor)
            else:
                ratio = InverseSigmoidRatio.with_half_life(steps, floor)
            return ScheduledSampling(ratio, per=self.teacher_forcing_per, forbidden=(PAD, BOS))
        except ValueError as error:
            raise UserError(f"--teacher-forcing {self.teacher_forcing}: {error}.") from None

    def make_trainer(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, batches, **arguments: Any
    ) -> Trainer:
        """The trainer of these options; `arguments` are the rest of what `Trainer` takes."""
        return Trainer(
            model,
            optimizer,
            batches,
            max_epochs=self.epochs,
            max_minutes=self.max_minutes,
            patience=self.patience or None,
            schedule=self.make_schedule(-(-len(batches(0)) // self.accumulate)),
            clip_norm=self.clip_norm or None,
            accumulate=self.accumulate,
            precision=self.precision,
            average_decay=self.average_decay or None,
            average_best=self.average_best,
            seed=self.seed,
            **arguments,
        )


def check_options(
    decoder: DecoderOptions, search: SearchOptions, training: TrainingOptions
) -> None:
    """Refuse options of both pipelines that do not go together, before anything slow is done.

    Raises:
        UserError: they do not.
    """
    if training.coverage and decoder.attention == "none":
        raise UserError("--coverage regularises attention: choose one, or leave it out.")
    if training.average_best == 1:
        raise UserError("--average-best 1 is no average: take 2 or more, or 0 for none.")
    if training.teacher_forcing != "constant" and training.teacher_forcing_ratio == 1:
        raise UserError(
            f"--teacher-forcing {training.teacher_forcing} falls to --teacher-forcing-ratio: "
            "choose one below 1."
        )
    if search.min_length > search.max_length:
        raise UserError(
            f"--min-length {search.min_length} is more than --max-length {search.max_length}."
        )


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` takes a GPU if there is one.

    Raises:
        UserError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UserError(f"--device {name}: name cpu, cuda, cuda:1, mps or auto.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps cannot be used here: there is no Apple GPU.")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name} cannot be used here: {one_line(error)}.") from None
    return device
