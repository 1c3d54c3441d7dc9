"""A translator of a common size: how fast it is trained and how fast it writes, in each precision.

The size is that of other toolkits' small recurrent translators, so that their figures can be compared:
one bidirectional GRU layer of 256, a GRU decoder of 256 with additive attention, embeddings of 256,
words, batches of 80; beam 5 over 64 sentences.
"""

from __future__ import annotations

import torch

from common.cli.command_line import parse_options
from common.compute.precision import Chosen
from common.decoding import BeamSearch
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.text.vocabulary import SPECIALS, Vocabulary
from experiments.benchmarks.harness import CPU, Comparison
from experiments.benchmarks.precision import compare_precisions, training_epoch
from seq2seq.examples import source_batch
from seq2seq.model import build_model
from seq2seq.options import TrainOptions

SOURCE_WORDS, TARGET_WORDS = 8_000, 6_000


def vocabulary(size: int) -> Vocabulary:
    """A vocabulary of this size, the special tokens included."""
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


def training(
    batches: int = 6, batch_size: int = 80, rounds: int = 5, device: torch.device = CPU
) -> Comparison:
    """Whole updates: forward, backward and AdamW."""
    model, made = small_translator().to(device), []
    sources = random_sentences(batches * batch_size, SOURCE_WORDS)
    targets = random_sentences(batches * batch_size, TARGET_WORDS)
    for at in range(0, len(sources), batch_size):
        tokens, lengths = source_batch(sources[at : at + batch_size])
        batch = Batch.collate((tokens,), targets[at : at + batch_size], lengths=lengths)
        made.append(batch.to(device))
    return compare_precisions(
        f"small translator, training, batch {batch_size}", model,
        training_epoch(model, made, device), rounds, device,
        sum(len(batch.positions) for batch in made), "target words",
    )  # fmt: skip


def decoding(
    sentences: int = 64, beam_size: int = 5, rounds: int = 3, device: torch.device = CPU
) -> Comparison:
    """Beam search, the encoder included; each sentence ends at its own length."""
    model = small_translator().to(device).eval()
    sources = random_sentences(sentences, SOURCE_WORDS)
    tokens, lengths = source_batch(sources)
    inputs, longest = (tokens.to(device), lengths), [len(source) for source in sources]

    def write(precision: Chosen) -> None:
        search = BeamSearch(beam_size=beam_size)
        model.generate(*inputs, search=search, precision=precision, max_length=longest)

    return compare_precisions(
        f"small translator, beam {beam_size}, {sentences} sentences", model, write, rounds, device,
        sentences, "sentences",
    )  # fmt: skip
