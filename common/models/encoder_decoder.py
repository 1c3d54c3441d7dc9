"""The model of both pipelines: an encoder, a decoder, a loss, and generation by search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from common.compute import Precision
from common.compute.device import map_tensors, naming_batch_size, to_host, upload
from common.compute.precision import arithmetic, choose_precision, without_gradients
from common.data.batching import pad_sequences
from common.decoding.attention import coverage_penalty
from common.decoding.constraints import Constraint, Lengths
from common.decoding.context import Context
from common.decoding.decoder import RecurrentDecoder
from common.decoding.hypotheses import Hypothesis
from common.decoding.scheduled_sampling import ScheduledSampling
from common.decoding.search import BeamSearch, Sampling, Search
from common.models.tokens import token_loss
from common.text.vocabulary import BOS, EOS, PAD
from common.training.loss import Loss


@dataclass(frozen=True)
class Batch:
    """Encoder inputs with their target sentences.

    Args:
        inputs: the arguments of the encoder, tensors whose first dimension is I.
        targets: (B, T + 1) token ids: start token, words, end token, padding.
        positions: (N,) the indices of the N real target words in `targets[:, 1:]` flattened; computed
            on the host when the batch is collated, so that it need not wait for the device.
        rows: (B,) which of the I inputs each sentence belongs to: several sentences of an image
            share one pass through its encoder. None: I = B, one input for each sentence.
        lengths: (I,) real steps of each input, the last argument of the encoder, if it takes any. They
            stay on the host, which packs padded inputs by them without waiting for a GPU.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    positions: Tensor
    rows: Tensor | None = None
    lengths: Tensor | None = None

    @classmethod
    def collate(
        cls,
        inputs: tuple[Tensor, ...],
        sentences: Sequence[Sequence[int]] | Tensor,
        rows: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Batch:
        """Make a batch of sentences: ids without start and end token, or as in `targets`."""
        if isinstance(sentences, Tensor):
            targets = sentences
        else:
            targets = pad_sequences([[BOS, *sentence, EOS] for sentence in sentences], PAD)
        positions = (targets[:, 1:] != PAD).flatten().nonzero().squeeze(1)
        return cls(inputs, targets, positions, rows, lengths)

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """The arguments of the encoder."""
        return self.inputs if self.lengths is None else (*self.inputs, self.lengths)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device, except its lengths."""
        device = torch.device(device)
        moved = map_tensors(self, lambda tensor: upload(tensor, device))
        return replace(moved, lengths=self.lengths)

    def pin_memory(self) -> Batch:
        return map_tensors(self, Tensor.pin_memory)

    def __len__(self) -> int:
        return len(self.targets)


class SearchCall(TypedDict, total=False):
    """What belongs to one call of a search, by name; see `Search.__call__`.

    constraints: on the tokens.
    prefixes: the token ids that each sentence begins with; () for none.
    max_length, min_length: bounds for each sentence, instead of the strategy's own.
    generator: source of random numbers, on the model's device.
    keep_attention: return the attention weights of each sentence.
    """

    constraints: Sequence[Constraint]
    prefixes: Sequence[Sequence[int]] | None
    max_length: Lengths | None
    min_length: Lengths | None
    generator: torch.Generator | None
    keep_attention: bool


def check_call(search: Any, call: Mapping[str, Any], known: Collection[str]) -> None:
    """Say how a search is chosen where it is not a value, or where its values are arguments.

    Args:
        search: a strategy, or None.
        call: the arguments by name.
        known: the names that a call has.

    Raises:
        TypeError: there is another.
    """
    if not isinstance(search, Search | None):
        raise TypeError(
            "search is a strategy with its values, as BeamSearch(beam_size=5) or "
            f"Sampling(num_samples=3), not {search!r}"
        )
    for name in call.keys() - known:
        for strategy in (BeamSearch, Sampling):
            if name in {each.name for each in fields(strategy)}:
                raise TypeError(
                    f"{name} is a value of a search: search={strategy.__name__}({name}={call[name]!r})"
                )
        raise TypeError(f"{name} is no argument of a search; they are {', '.join(sorted(known))}")


class SentenceWriter(nn.Module):
    """A model that encodes its inputs and generates a sentence for each, by search.

    A subclass has a `decoder`, a `StepModel` of the contexts that `encode` returns.
    """

    decoder: Any

    def encode(self, *inputs: Tensor) -> Any:
        raise NotImplementedError

    def target_logits(self, batch: Batch) -> Tensor:
        """(N, V) logits of the N real target words under teacher forcing; see `Batch.positions`."""
        raise NotImplementedError

    @without_gradients()
    def generate(
        self,
        *inputs: Tensor,
        search: Search = BeamSearch(),
        precision: Precision = "fp32",
        **call: Unpack[SearchCall],
    ) -> list[list[Hypothesis]]:
        """Generate a sentence for each input.

        Args:
            inputs: the arguments of the encoder; the first is on the device of the model.
            search: the strategy: `BeamSearch`, `Greedy` or `Sampling` of common.decoding.
            precision: "bf16" multiplies matrices in bfloat16, which is faster on some hardware; "auto"
                measures whether it is. Probabilities are still summed up in float32.
            call: see `SearchCall`.

        Returns:
            For each input its hypotheses, best first.

        Raises:
            UserError: the device is out of memory.
        """
        device = inputs[0].device
        chosen = choose_precision(precision, self, device)
        with naming_batch_size(len(inputs[0])), arithmetic(device, chosen):
            context = self.encode(*inputs)
            return search(self.decoder, context, bos=BOS, eos=EOS, pad=PAD, **call)


class EncoderDecoder(SentenceWriter):
    """Any encoder that returns a `Context`, and a decoder that generates a sentence from it.

    Args:
        encoder: called with `Batch.arguments`, returns a Context.
        decoder: the recurrent decoder.
        label_smoothing: probability that the target spreads over all words evenly (Szegedy et al.
            2016).
        coverage: weight of the doubly stochastic regularisation of attention (Xu et al. 2015, eq. 14).
        scheduled_sampling: when the decoder is fed its own last prediction instead of the reference
            while it trains; None: never. Its count of batches is part of the state dict.

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

    def target_logits(self, batch: Batch) -> Tensor:
        context = self.encode(*batch.arguments)
        if batch.rows is not None:
            context = self.decoder.prepare(context).select(batch.rows)
        features, _ = self.decoder.unroll(context, batch.targets[:, :-1])
        return self.decoder.logits(features.flatten(0, 1).index_select(0, batch.positions))

    def loss(self, batch: Batch) -> Loss:
        """Cross-entropy under teacher forcing, computed at real words only.

        With scheduled sampling, training mode feeds some of the model's own predictions instead of
        the reference; evaluation mode never does.

        `Loss.value` is the mean per word with smoothing and regularisation, to be differentiated;
        its sums are those of `token_loss`, without either.
        """
        return self.sentence_loss(self.encode(*batch.arguments), batch)

    def sentence_loss(self, context: Context, batch: Batch) -> Loss:
        """As `loss`, of inputs that are encoded already."""
        mask = context.mask
        if batch.rows is not None:
            # Attention's keys are computed once for each input, not for each of its sentences.
            context = self.decoder.prepare(context).select(batch.rows)
            mask = None if mask is None else mask.index_select(0, batch.rows)
        words = batch.targets[:, :-1]
        sampled = None
        if self.training and self.scheduled_sampling is not None:
            sampled = self.scheduled_sampling.draw(*words.shape)
        features, weights = self.decoder.unroll(context, words, sampled)
        real = features.flatten(0, 1).index_select(0, batch.positions)  # (N, R)
        labels = batch.targets[:, 1:].flatten().index_select(0, batch.positions)  # (N,)
        smoothing = self.label_smoothing if self.training else 0.0
        loss = token_loss(self.decoder.logits(real), labels, label_smoothing=smoothing)
        if self.coverage and self.training and weights is not None:
            steps = batch.targets[:, 1:] != PAD
            penalty = coverage_penalty(weights, steps, mask)
            loss = loss._replace(value=loss.value + self.coverage * penalty)
        return loss

    @without_gradients()
    def attention_weights(
        self, inputs: tuple[Tensor, ...], sentences: Sequence[Sequence[int]]
    ) -> list[Tensor] | None:
        """Attention weights of given sentences under teacher forcing: a (T, S) tensor for each.

        T counts the words of the sentence and its end token. The tensors are float32, on the host.
        None without attention.

        Args:
            inputs: the arguments of the encoder; the first is on the device of the model.
            sentences: word ids of a sentence for each input.
        """
        targets = Batch.collate((), sentences).targets
        tokens = upload(targets[:, :-1], inputs[0].device)
        weights = self.decoder.unroll(self.encode(*inputs), tokens).weights
        if weights is None:
            return None
        rows = to_host(weights.float())
        return [row[: len(words) + 1] for row, words in zip(rows, sentences, strict=True)]
