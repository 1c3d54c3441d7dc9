"""Symbols written in reverse: a whole use of the library in code, with no command line and no run.

    python -m experiments.copy_task

Shape: sequence to sequence. A GRU reads symbols, another reverses them; it prints where it looked.
"""

import sys

import numpy as np
import torch
from torch import Tensor, nn

from common.data.batching import Batches, bucketed_batches, pad_sequences
from common.decoding import BeamSearch, Context, RecurrentDecoder
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.tokens import token_figures
from common.recurrent import Recurrent
from common.text.vocabulary import PAD, SPECIALS, Vocabulary
from common.training.tracking import Tracker
from common.training.trainer import Trainer
from common.training.validation import held_out

SYMBOLS = Vocabulary(list("abcdefghij"))


class Reader(nn.Module):
    """Reads symbols in both directions: the states are the memory, their mean is the vector."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(SYMBOLS), size, padding_idx=PAD)
        self.recurrent = Recurrent("gru", size, size, bidirectional=True)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Context:
        memory, _ = self.recurrent(self.embedding(tokens), lengths)  # (B, S, 2 size), 0 at padding
        return Context(memory.sum(1) / lengths.to(memory).unsqueeze(1), memory, tokens != PAD)


def sequences(count: int, seed: int) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    lengths, ids = draw.integers(3, 13, count), (len(SPECIALS), len(SYMBOLS))
    return [draw.integers(*ids, length).tolist() for length in lengths]


def collate(sources: list[list[int]]) -> Batch:
    lengths = torch.tensor([len(source) for source in sources])
    targets = [source[::-1] for source in sources]
    return Batch.collate((pad_sequences(sources, PAD),), targets, lengths=lengths)


def batches(sources: list[list[int]], epoch: int = 0) -> Batches[Batch]:
    indices = bucketed_batches([len(source) for source in sources], 64, epoch=epoch)
    return Batches(indices, lambda rows: collate([sources[row] for row in rows]))


def main(count: int = 8000, epochs: int = 5, size: int = 64) -> float:
    """Train, and return the fraction of new sequences that are written without a mistake."""
    torch.manual_seed(0)
    sizes = len(SYMBOLS), size, size, 2 * size  # tokens, embedding, hidden state, context vector
    decoder = RecurrentDecoder(*sizes, memory_size=2 * size, cell="gru", attention="additive")
    model = EncoderDecoder(Reader(size), decoder)
    train, val, test = sequences(count, 0), sequences(200, 1), sequences(200, 2)
    Trainer(
        model, torch.optim.AdamW(model.parameters(), 3e-3), lambda epoch: batches(train, epoch),
        validate=lambda: held_out(model, batches(val), token_figures), monitor="loss", mode="min",
        max_epochs=epochs, clip_norm=1.0, figures=token_figures, unit="tokens", tracker=Tracker(),
    ).fit()  # fmt: skip
    search, inputs = BeamSearch(beam_size=3), collate(test).arguments
    found = [each[0] for each in model.eval().generate(*inputs, search=search, keep_attention=True)]
    for source, best in zip(test[:3], found, strict=False):
        looked = [] if best.attention is None else best.attention.argmax(1).tolist()
        print(*SYMBOLS.decode(source), "->", *SYMBOLS.decode(best.tokens), " looked at", *looked)
    right = [best.tokens == source[::-1] for source, best in zip(test, found, strict=True)]
    print(f"{np.mean(right):.1%} of {len(test)} new sequences are reversed without a mistake")
    return float(np.mean(right))


if __name__ == "__main__":
    print(__doc__) if sys.argv[1:] else main()
