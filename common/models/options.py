"""What a command line lets a user choose about the loss of sentences."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from common.config.bounds import Amount, Positive, Share
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError
from common.training.options import RunOptions

if TYPE_CHECKING:
    from torch import nn

    from common.decoding.decoder import RecurrentDecoder
    from common.decoding.scheduled_sampling import ScheduledSampling
    from common.models.encoder_decoder import EncoderDecoder


@dataclass(frozen=True)
class LossOptions:
    """What a decoder is trained to do, and what it is fed meanwhile."""

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

    def check(self, decoder: DecoderOptions) -> None:
        """Refuse options that do not go together, before anything slow is done.

        Raises:
            UserError: they do not.
        """
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
            encoder,
            decoder,
            label_smoothing=self.label_smoothing,
            coverage=self.coverage,
            scheduled_sampling=self.make_scheduled_sampling(),
        )

    def make_scheduled_sampling(self) -> ScheduledSampling | None:
        """What feeds the decoder its own predictions while it trains; None under teacher forcing."""
        from common.decoding.scheduled_sampling import (
            ScheduledSampling,
            constant_ratio,
            exponential_ratio,
            inverse_sigmoid_ratio,
            linear_ratio,
        )
        from common.text.vocabulary import BOS, PAD

        floor, steps = self.teacher_forcing_ratio, self.teacher_forcing_steps
        if floor == 1:
            return None
        try:
            if self.teacher_forcing == "constant":
                ratio = constant_ratio(floor)
            elif self.teacher_forcing == "linear":
                ratio = linear_ratio(2 * steps, floor)
            elif self.teacher_forcing == "exponential":
                ratio = exponential_ratio(0.5 ** (1 / max(1, steps)), floor)
            else:
                ratio = inverse_sigmoid_ratio(steps, floor)
            return ScheduledSampling(ratio, per=self.teacher_forcing_per, forbidden=(PAD, BOS))
        except ValueError as error:
            raise UserError(f"--teacher-forcing {self.teacher_forcing}: {error}.") from None


@dataclass(frozen=True, kw_only=True)
class WriterRunOptions(RunOptions):
    """What a training of a model that writes sentences lets a user choose; a pipeline adds its own."""

    decoder: DecoderOptions = DecoderOptions()
    search: SearchOptions = SearchOptions()
    loss: LossOptions = LossOptions()

    def check(self) -> None:
        """Refuse options that do not go together, before anything slow is done.

        Raises:
            UserError: they do not.
        """
        super().check()
        self.loss.check(self.decoder)
        self.search.strategy()

    @classmethod
    def of_format(cls, format: int, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration of a run of an older format, as these options have it.

        In format 1 the options of the loss were among those of the training, which could also average
        the weights of its best validations.
        """
        if format > 1:
            return config
        moved = {field.name for field in fields(LossOptions)}
        training = dict(config.get("training", {}))
        training.pop("average_best", None)
        loss = {name: training.pop(name) for name in moved & training.keys()}
        return {**config, "training": training, "loss": loss}
