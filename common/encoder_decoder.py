"""The model of both pipelines: an encoder, a decoder, a loss, and generation by search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from common.decoding.attention import coverage_penalty
from common.decoding.context import Context
from common.decoding.decoder import RecurrentDecoder
from common.decoding.search import Hypothesis, beam_search
from common.text.vocabulary import BOS, EOS, PAD
from common.training.batching import pad_sequences
from common.training.loss import Loss, token_loss


@dataclass(frozen=True)
class Batch:
    """Encoder inputs with the sentences to be learnt from them.

    Args:
        inputs: what the encoder is called with, tensors whose first dimension is B.
        targets: (B, T + 1) token ids: start token, words, end token, padding.
        positions: (N,) where the N real words to be predicted stand in `targets[:, 1:]` flattened;
            found when the batch is collated, so that the device need not be asked for it.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    positions: Tensor

    @classmethod
    def collate(cls, inputs: tuple[Tensor, ...], sentences: Sequence[Sequence[int]]) -> Batch:
        """Make a batch of sentences given as word ids without start and end token."""
        targets = pad_sequences([[BOS, *sentence, EOS] for sentence in sentences], PAD)
        positions = (targets[:, 1:] != PAD).flatten().nonzero().squeeze(1)
        return cls(inputs, targets, positions)

    def to(self, device: torch.device | str) -> Batch:
        move = {"device": device, "non_blocking": True}
        return Batch(
            tuple(tensor.to(**move) for tensor in self.inputs),
            self.targets.to(**move),
            self.positions.to(**move),
        )

    def pin_memory(self) -> Batch:
        return Batch(
            tuple(tensor.pin_memory() for tensor in self.inputs),
            self.targets.pin_memory(),
            self.positions.pin_memory(),
        )

    def __len__(self) -> int:
        return len(self.targets)


class EncoderDecoder(nn.Module):
    """Any encoder that returns a `Context`, and the decoder that turns it into words.

    Args:
        encoder: called with `Batch.inputs`, returns a Context.
        decoder: the recurrent decoder.
        label_smoothing: share of the probability that the target spreads over all words evenly
            (Szegedy et al. 2016).
        coverage: weight of the doubly stochastic regularisation of attention (Xu et al. 2015, eq. 14).

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
    ) -> None:
        super().__init__()
        if coverage and decoder.attention is None:
            raise ValueError("coverage regularises attention: this decoder has none")
        self.encoder = encoder
        self.decoder = decoder
        self.label_smoothing = label_smoothing
        self.coverage = coverage

    def encode(self, *inputs: Tensor) -> Context:
        return self.encoder(*inputs)

    def loss(self, batch: Batch) -> Loss:
        """Cross-entropy under teacher forcing, computed at real words only.

        `Loss.value` is the mean per word with smoothing and regularisation, to be differentiated;
        `Loss.nll` is the plain sum of negative log-likelihoods in nats, from which perplexity follows.
        """
        context = self.encode(*batch.inputs)
        features, weights = self.decoder.unroll(context, batch.targets[:, :-1])
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
    def generate(
        self,
        *inputs: Tensor,
        search: Callable[..., list[list[Hypothesis]]] = beam_search,
        **options: Any,
    ) -> list[list[Hypothesis]]:
        """Write a sentence for each input.

        Args:
            inputs: what the encoder is called with.
            search: `greedy`, `sample` or `beam_search` of common.decoding.search.
            options: of that search: beam_size, max_length, length_penalty, ...

        Returns:
            For each input its hypotheses, best first.
        """
        defaults = {"bos": BOS, "eos": EOS, "forbidden": (PAD, BOS), "max_length": 50}
        return search(self.decoder, self.encode(*inputs), **(defaults | options))

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
