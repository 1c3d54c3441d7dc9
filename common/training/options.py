"""What a command line lets a user choose about the training."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from common.compute import Precision
from common.config.bounds import Amount, Count, Decay, Positive, Rate, Seed, Share
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from common.decoding.decoder import RecurrentDecoder
    from common.decoding.scheduled_sampling import RatioSchedule, ScheduledSampling
    from common.models.encoder_decoder import EncoderDecoder
    from common.training.schedules import Schedule
    from common.training.trainer import Trainer

# What a run may be resumed with otherwise than it was begun; each pipeline has more of them.
COMMON_MAY_CHANGE = ("run_dir", "cache_dir", "resume", "overwrite", "data")


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
    """Sample anew for every token, or once for a sentence."""
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
    precision: Precision = "auto"
    """Arithmetic of the products: fp32, bf16, or the one that is measured to be faster when training
    starts; the run keeps it, and is resumed with it."""
    seed: Seed = 0
    """Seed of the weights, dropout and the order of the data."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or any other device of PyTorch; auto takes a GPU if there is one."""
    threads: Positive | None = None
    """CPU threads of the arithmetic; PyTorch's choice by default."""

    def may_change(self) -> tuple[str, ...]:
        """Names of the settings that a run may be resumed with otherwise than it was begun."""
        names = ["patience", "max_minutes", "threads", "device"]
        if self.schedule != "cosine":  # of which every learning rate depends on the last epoch
            names.append("epochs")
        if self.precision == "auto":  # whatever the run has chosen
            names.append("precision")
        return tuple(f"training.{name}" for name in names)

    def begin(self) -> torch.device:
        """Set the threads and the random generators of this process; the device to work on."""
        import torch

        from common.compute.device import choose_device

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

    def settle_precision(
        self, model: nn.Module, resumed: TrainingOptions | None
    ) -> TrainingOptions:
        """These options with the precision that training takes, which is printed.

        Args:
            model: what is trained, on its device.
            resumed: the options of the run that goes on: "auto" takes what it has; None: a new run.
        """
        from common.compute.precision import choose_precision, describe_choice

        if self.precision == "auto" and resumed is not None:
            precision = choose_precision(resumed.precision, model)
        else:
            precision = choose_precision(self.precision, model)
            print(describe_choice(self.precision, model), file=sys.stderr)
        return dataclasses.replace(self, precision=precision)

    def make_model(self, encoder: nn.Module, decoder: RecurrentDecoder) -> EncoderDecoder:
        """An encoder and a decoder with the loss of these options."""
        from common.models.encoder_decoder import EncoderDecoder

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
        import torch

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
        from common.training.schedules import Constant, Cosine, InverseSquareRoot, Plateau

        if self.schedule == "plateau":
            return Plateau(warmup_steps=self.warmup_steps)
        if self.schedule == "cosine":
            total = max(self.warmup_steps + 1, self.epochs * steps_per_epoch)
            return Cosine(total, warmup_steps=self.warmup_steps)
        if self.schedule == "inverse_sqrt":
            return InverseSquareRoot(warmup_steps=self.warmup_steps or 4000)
        return Constant(warmup_steps=self.warmup_steps)

    def make_scheduled_sampling(self) -> ScheduledSampling | None:
        """What feeds the decoder its own predictions while it trains; None under teacher forcing."""
        from common.decoding.scheduled_sampling import (
            ConstantRatio,
            ExponentialRatio,
            InverseSigmoidRatio,
            LinearRatio,
            ScheduledSampling,
        )
        from common.text.vocabulary import BOS, PAD

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
        from common.training.trainer import Trainer

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
    search.strategy()
