"""A translator of a common size: how fast it learns and how fast it writes, in float32 and in bfloat16.

The size is that which other toolkits' small recurrent translators have, so that their figures can be
put beside these: one bidirectional GRU layer of 256, a GRU decoder of 256 with additive attention,
embeddings of 256, words, batches of 80; beam 5 over 64 sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from common.cli.command_line import parse_options
from common.compute.device import tensor_float32
from common.compute.precision import Chosen, arithmetic
from common.decoding import BeamSearch
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.text.vocabulary import SPECIALS, Vocabulary
from common.training.options import TrainingOptions
from experiments.benchmarks.harness import CPU, Comparison, compare
from seq2seq.building import build_model
from seq2seq.examples import source_batch
from seq2seq.options import TrainOptions

SOURCE_WORDS, TARGET_WORDS = 8_000, 6_000
PRECISIONS: tuple[Chosen, ...] = ("fp32", "bf16")


def vocabulary(size: int) -> Vocabulary:
    """So many words, the special ones included."""
    return Vocabulary([f"w{number}" for number in range(size - len(SPECIALS))])


def small_translator() -> EncoderDecoder:
    """The network of `experiments.translate_multi30k small`."""
    torch.manual_seed(0)
    options = parse_options(
        TrainOptions, ["--config", "multi30k-small", "--data", "none"], prog="small translator"
    )
    return build_model(options, vocabulary(SOURCE_WORDS), vocabulary(TARGET_WORDS))


def random_sentences(count: int, words: int) -> list[list[int]]:
    """Sentences about as long as captions, the shortest first."""
    lengths = torch.randn(count).mul(4).add(12).round().clamp(3, 30).int().tolist()
    return [torch.randint(4, words, (length,)).tolist() for length in sorted(lengths)]


def training_batches(batches: int, batch_size: int, device: torch.device) -> list[Batch]:
    """Pairs of sentences for the small translator."""
    sources = random_sentences(batches * batch_size, SOURCE_WORDS)
    targets = random_sentences(batches * batch_size, TARGET_WORDS)
    made = []
    for at in range(0, len(sources), batch_size):
        tokens, lengths = source_batch(sources[at : at + batch_size])
        batch = Batch.collate((tokens,), targets[at : at + batch_size], lengths=lengths)
        made.append(batch.to(device))
    return made


def epoch_of(
    model: nn.Module, batches: Sequence[Batch], device: torch.device
) -> Callable[[Chosen], None]:
    """What makes the updates of an epoch in a precision: forward, backward and AdamW."""
    optimizer = TrainingOptions().make_optimizer(model.train())

    def epoch(precision: Chosen) -> None:
        for batch in batches:
            with tensor_float32(device, allowed=precision == "bf16"):
                with arithmetic(device, precision):
                    loss = model.loss(batch).value  # type: ignore[operator]
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return epoch


def training(
    batches: int = 6, batch_size: int = 80, rounds: int = 5, device: torch.device = CPU
) -> Comparison:
    """Whole updates: forward, backward and AdamW."""
    model = small_translator().to(device)
    made = training_batches(batches, batch_size, device)
    epoch = epoch_of(model, made, device)
    return compare(
        f"small translator, training, batch {batch_size}",
        {precision: partial(epoch, precision) for precision in PRECISIONS},
        rounds=rounds,
        items=sum(len(batch.positions) for batch in made),
        unit="target words",
        device=device,
    )


def decoding(
    sentences: int = 64, beam_size: int = 5, rounds: int = 3, device: torch.device = CPU
) -> Comparison:
    """Beam search, the encoder included; each sentence ends at a length of its own."""
    model = small_translator().to(device).eval()
    sources = random_sentences(sentences, SOURCE_WORDS)
    tokens, lengths = source_batch(sources)
    inputs = tokens.to(device), lengths
    longest = [len(source) for source in sources]

    def write(precision: Chosen) -> None:
        search = BeamSearch(beam_size=beam_size)
        model.generate(*inputs, search=search, precision=precision, max_length=longest)

    return compare(
        f"small translator, beam {beam_size}, {sentences} sentences",
        {precision: partial(write, precision) for precision in PRECISIONS},
        rounds=rounds,
        items=sentences,
        unit="sentences",
        device=device,
    )
