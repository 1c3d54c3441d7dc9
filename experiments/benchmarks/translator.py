"""A translator of a common size: how fast it learns and how fast it writes, in float32 and in bfloat16.

The size is that which other toolkits' small recurrent translators have, so that their figures can be
put beside these: one bidirectional GRU layer of 256, a GRU decoder of 256 with additive attention,
embeddings of 256, words, batches of 80; beam 5 over 64 sentences.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from common.decoding import BeamSearch
from common.encoder_decoder import Batch, EncoderDecoder, Precision
from common.options import TrainingOptions
from common.text.vocabulary import SPECIALS, Vocabulary
from experiments.benchmarks.harness import Comparison, compare
from experiments.translate_multi30k import SMALL
from seq2seq.examples import source_batch
from seq2seq.loading import build_model

SOURCE_WORDS, TARGET_WORDS = 8_000, 6_000
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def small_translator() -> EncoderDecoder:
    """The network of `experiments.translate_multi30k small`."""
    torch.manual_seed(0)
    source, target = (
        Vocabulary([f"w{number}" for number in range(size - len(SPECIALS))])
        for size in (SOURCE_WORDS, TARGET_WORDS)
    )
    return build_model(SMALL, source, target)


def _sentences(count: int, vocabulary: int) -> list[list[int]]:
    """Sentences about as long as captions."""
    lengths = torch.randn(count).mul(4).add(12).round().clamp(3, 30).int().tolist()
    return [torch.randint(4, vocabulary, (length,)).tolist() for length in sorted(lengths)]


def training(batches: int = 6, batch_size: int = 80, rounds: int = 5) -> Comparison:
    """Whole updates: forward, backward and AdamW."""
    model = small_translator().train()
    optimizer = TrainingOptions().make_optimizer(model)
    sources = _sentences(batches * batch_size, SOURCE_WORDS)
    targets = _sentences(batches * batch_size, TARGET_WORDS)
    made = [
        Batch.collate(source_batch(sources[at : at + batch_size]), targets[at : at + batch_size])
        for at in range(0, len(sources), batch_size)
    ]

    def update(batch: Batch, precision: Precision) -> None:
        with torch.autocast("cpu", torch.bfloat16, precision == "bf16"):
            loss: Tensor = model.loss(batch).value
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def epoch(precision: Precision) -> None:
        for batch in made:
            update(batch, precision)

    return compare(
        f"small translator, training, batch {batch_size}",
        {precision: partial(epoch, precision) for precision in PRECISIONS},
        rounds=rounds,
        items=sum(len(batch.positions) for batch in made),
        unit="target words",
    )


def decoding(sentences: int = 64, beam_size: int = 5, rounds: int = 3) -> Comparison:
    """Beam search, the encoder included; each sentence ends at a length of its own."""
    model = small_translator().eval()
    sources = _sentences(sentences, SOURCE_WORDS)
    inputs = source_batch(sources)
    lengths = [len(source) for source in sources]

    def write(precision: Precision) -> None:
        search = BeamSearch(beam_size=beam_size)
        model.generate(*inputs, search=search, precision=precision, max_length=lengths)

    return compare(
        f"small translator, beam {beam_size}, {sentences} sentences",
        {precision: partial(write, precision) for precision in PRECISIONS},
        rounds=rounds,
        items=sentences,
        unit="sentences",
    )
