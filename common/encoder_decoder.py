"""The model of both pipelines: an encoder, a decoder, a loss, and generation by search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from common.decoding.attention import coverage_penalty
from common.decoding.context import Context
from common.decoding.decoder import RecurrentDecoder
from common.decoding.length_penalty import gnmt
from common.decoding.scheduled_sampling import ScheduledSampling
from common.decoding.search import Hypothesis, beam_search
from common.text.vocabulary import BOS, EOS, PAD
from common.training.batching import pad_sequences
from common.training.loss import Loss, token_loss

Precision: TypeAlias = Literal["fp32", "bf16"]
LengthNorm: TypeAlias = Literal["power", "gnmt"]


@dataclass(frozen=True)
class Batch:
    """Encoder inputs with the sentences to be learnt from them.

    Args:
        inputs: what the encoder is called with, tensors whose first dimension is I.
        targets: (B, T + 1) token ids: start token, words, end token, padding.
        positions: (N,) where the N real words to be predicted stand in `targets[:, 1:]` flattened;
            found when the batch is collated, so that the device need not be asked for it.
        rows: (B,) which of the I inputs each sentence belongs to: several sentences of an image
            share one pass through its encoder. None: each its own, I = B.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    positions: Tensor
    rows: Tensor | None = None

    @classmethod
    def collate(
        cls,
        inputs: tuple[Tensor, ...],
        sentences: Sequence[Sequence[int]],
        rows: Tensor | None = None,
    ) -> Batch:
        """Make a batch of sentences given as word ids without start and end token."""
        targets = pad_sequences([[BOS, *sentence, EOS] for sentence in sentences], PAD)
        return cls.of(inputs, targets, rows)

    @classmethod
    def of(cls, inputs: tuple[Tensor, ...], targets: Tensor, rows: Tensor | None = None) -> Batch:
        """Make a batch of sentences that are one matrix (B, T + 1) already, as in `targets`."""
        positions = (targets[:, 1:] != PAD).flatten().nonzero().squeeze(1)
        return cls(inputs, targets, positions, rows)

    def to(self, device: torch.device | str) -> Batch:
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            tuple(function(tensor) for tensor in self.inputs),
            function(self.targets),
            function(self.positions),
            None if self.rows is None else function(self.rows),
        )

    def __len__(self) -> int:
        return len(self.targets)


class SentenceWriter(nn.Module):
    """A model that encodes its inputs and writes a sentence for each, by search.

    A subclass has a `decoder`, which a search can drive with what `encode` returns.
    """

    decoder: Any

    def encode(self, *inputs: Tensor) -> Any:
        raise NotImplementedError

    @torch.no_grad()
    def generate(
        self,
        *inputs: Tensor,
        search: Callable[..., list[list[Hypothesis]]] = beam_search,
        precision: Precision = "fp32",
        length_norm: LengthNorm = "power",
        **options: Any,
    ) -> list[list[Hypothesis]]:
        """Write a sentence for each input.

        Args:
            inputs: what the encoder is called with.
            search: `greedy`, `sample` or `beam_search` of common.decoding.search.
            precision: "bf16" multiplies matrices in bfloat16, which is faster where the hardware is
                made for it; probabilities are still summed up in float32.
            length_norm: what a number given as length_penalty is the exponent of: "power" of the
                length, "gnmt" of (5 + length) / 6.
            options: of that search: beam_size, max_length, length_penalty, ...

        Returns:
            For each input its hypotheses, best first.
        """
        defaults = {"bos": BOS, "eos": EOS, "forbidden": (PAD, BOS), "max_length": 50}
        if length_norm == "gnmt" and not callable(options.get("length_penalty", gnmt)):
            options["length_penalty"] = gnmt(options["length_penalty"])
        with torch.autocast(inputs[0].device.type, torch.bfloat16, precision == "bf16"):
            return search(self.decoder, self.encode(*inputs), **(defaults | options))


class EncoderDecoder(SentenceWriter):
    """Any encoder that returns a `Context`, and the decoder that turns it into words.

    Args:
        encoder: called with `Batch.inputs`, returns a Context.
        decoder: the recurrent decoder.
        label_smoothing: share of the probability that the target spreads over all words evenly
            (Szegedy et al. 2016).
        coverage: weight of the doubly stochastic regularisation of attention (Xu et al. 2015, eq. 14).
        scheduled_sampling: when the decoder is told its own last word instead of the right one while
            it trains; None: never. What it counts is part of the state dict.

    Raises:
        ValueError: coverage without attention.
    """

    def __init__(
        self,
        encoder: Callable[..., Context],
        decoder: RecurrentDecoder,
        *,
        label_smoothing: float = 0.0,
        coverage: float = 0.0,
        scheduled_sampling: ScheduledSampling | None = None,
    ) -> None:
        super().__init__()
        if coverage and decoder.attention is None:
            raise ValueError("coverage regularises attention: this decoder has none")
        self.encoder = encoder
        self.decoder = decoder
        self.label_smoothing = label_smoothing
        self.coverage = coverage
        self.scheduled_sampling = scheduled_sampling

    def encode(self, *inputs: Tensor) -> Context:
        return self.encoder(*inputs)

    def loss(self, batch: Batch) -> Loss:
        """Cross-entropy under teacher forcing, computed at real words only.

        With scheduled sampling, training mode feeds some of the model's own words instead of the
        right ones; evaluation mode never does.

        `Loss.value` is the mean per word with smoothing and regularisation, to be differentiated;
        `Loss.nll` is the plain sum of negative log-likelihoods in nats, from which perplexity follows.
        """
        context = self.encode(*batch.inputs)
        if batch.rows is not None:
            # Attention's keys are computed once for an input, not once for each of its sentences.
            context = self.decoder.prepare(context).select(batch.rows)
        words = batch.targets[:, :-1]
        own = None
        if self.training and self.scheduled_sampling is not None:
            own = self.scheduled_sampling.draw(*words.shape)
        features, weights = self.decoder.unroll(context, words, own)
        real = features.flatten(0, 1).index_select(0, batch.positions)  # (N, R)
        labels = batch.targets[:, 1:].flatten().index_select(0, batch.positions)  # (N,)
        smoothing = self.label_smoothing if self.training else 0.0
        loss = token_loss(self.decoder.logits(real), labels, label_smoothing=smoothing)
        if self.coverage and self.training and weights is not None:
            steps = batch.targets[:, 1:] != PAD
            penalty = coverage_penalty(weights, steps, context.mask)
            loss = loss._replace(value=loss.value + self.coverage * penalty)
        return loss

    @torch.no_grad()
    def attention_weights(self, inputs: tuple[Tensor, ...], sentences: Sequence[Sequence[int]]):
        """Where the decoder looks while it writes given sentences: a (T, S) tensor for each.

        T counts the words of the sentence and its end token. None without attention.
        """
        batch = Batch.collate(inputs, sentences).to(inputs[0].device)
        weights = self.decoder.unroll(self.encode(*batch.inputs), batch.targets[:, :-1]).weights
        if weights is None:
            return None
        return [row[: len(words) + 1] for row, words in zip(weights, sentences, strict=True)]
