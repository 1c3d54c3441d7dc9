"""A translator so small that an epoch takes a second, and what it learns."""

from __future__ import annotations

import gzip
import random
from dataclasses import replace
from pathlib import Path

from common.decoding.options import DecoderOptions, SearchOptions
from common.training.options import TrainingOptions
from seq2seq.options import EncoderOptions, TextOptions, TrainOptions

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "cats": "katzen"}


def tiny_options(data: Path, run: Path, **changes) -> TrainOptions:
    """A translator so small that an epoch takes a second."""
    options = TrainOptions(
        data=str(data), run_dir=run, source="en", target="de", cache_dir=run.parent / "cache",
        shown_sentences=2,
        text=TextOptions(min_count=1),
        encoder=EncoderOptions(
            encoder_size=16, source_embedding_size=16, source_dropout=0.0, encoder_dropout=0.0
        ),
        decoder=DecoderOptions(
            cell="gru", inject=("init",), attention="additive", embedding_size=16,
            hidden_size=32, attention_size=16, embedding_dropout=0.0, output_dropout=0.0,
        ),
        search=SearchOptions(beam_size=2, max_length=20, search_precision="fp32"),
        training=TrainingOptions(
            epochs=2, batch_size=16, patience=0, device="cpu", precision="fp32"
        ),
    )  # fmt: skip
    return replace(options, **changes)


def write_pairs(folder: Path, name: str, count: int, seed: int) -> None:
    """Sentences of number words, whose translation is word for word, backwards."""
    generator = random.Random(seed)
    folder.mkdir(exist_ok=True, parents=True)
    with (
        gzip.open(folder / f"{name}.en.gz", "wt") as en,
        gzip.open(folder / f"{name}.de.gz", "wt") as de,
    ):
        for _ in range(count):
            words = generator.choices(list(WORDS), k=generator.randint(1, 4))
            en.write(" ".join(words) + "\n")
            de.write(" ".join(WORDS[word] for word in reversed(words)) + "\n")


CHARACTERS = TextOptions(tokenizer="characters")


SENTENCES = ["one two three", "cats", "", "four four one two cats three", "   "]
