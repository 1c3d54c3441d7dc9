"""Several trained models used as one: the ensemble of either pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from common.decoding.ensemble import (
    Averaging,
    Ensemble,
    EnsembleContext,
    mean_log_probabilities,
    mean_weights,
)
from common.models.encoder_decoder import Batch, EncoderDecoder, SentenceWriter
from common.models.tokens import token_loss
from common.training.loss import Loss


class EnsembleModel(SentenceWriter):
    """Trained models that each encode an input, and generate its sentence together.

    It can replace a trained `EncoderDecoder`: it generates, and has a teacher-forced loss and attention
    weights. The models must take the same inputs and have the same vocabulary with the same ids, which
    is not checked; nothing else need be the same.

    Args:
        models: at least one.
        average: what is averaged at every step; see `Ensemble`.

    Raises:
        ValueError: no model, or models of different numbers of words.
    """

    def __init__(
        self, models: Sequence[EncoderDecoder], *, average: Averaging = "probabilities"
    ) -> None:
        super().__init__()
        if not models:
            raise ValueError("an ensemble needs at least one model")
        sizes = [model.decoder.output.out_features for model in models]
        if len(set(sizes)) > 1:
            raise ValueError(f"models of an ensemble must know the same words: {sizes} differ")
        self.models: Sequence[EncoderDecoder] = nn.ModuleList(models)  # type: ignore[assignment]
        self.average = average

    @property
    def decoder(self) -> Ensemble:
        """The decoders together, with the context of `encode`."""
        return Ensemble([model.decoder for model in self.models], average=self.average)

    def encode(self, *inputs: Tensor) -> EnsembleContext:
        return EnsembleContext(tuple(model.encode(*inputs) for model in self.models))

    def target_logits(self, batch: Batch) -> Tensor:
        logits = [model.target_logits(batch) for model in self.models]
        return mean_log_probabilities(logits, self.average)

    def loss(self, batch: Batch) -> Loss:
        """Cross-entropy of the averaged probabilities under teacher forcing, at real words only."""
        labels = batch.targets[:, 1:].flatten().index_select(0, batch.positions)  # (N,)
        return token_loss(self.target_logits(batch), labels)

    def attention_weights(
        self, inputs: tuple[Tensor, ...], sentences: Sequence[Sequence[int]]
    ) -> list[Tensor] | None:
        """Attention weights of given sentences under teacher forcing: a (T, S) tensor for each.

        The mean over the models with attention; None if there is none, or if their memories differ in
        length. The tensors are float32, on the host.
        """
        found = [model.attention_weights(inputs, sentences) for model in self.models]
        given = [weights for weights in found if weights is not None]
        means = [mean_weights(rows) for rows in zip(*given, strict=True)]
        complete = [mean for mean in means if mean is not None]
        return complete if complete and len(complete) == len(means) else None
