"""The part of speech of every word, by a recurrent network that reads the whole sentence.

Shape: many to many. "I work at google" and "I google at work" hold the same words: their places show
which is the verb. `by_place` is the fraction of these two in which it finds the verb and the noun. It
knows a word by itself and by its spelling: endings, beginnings, capitals. The baseline beside it gives
each word its most frequent tag. Expect both sentences right, less with `--no-bidirectional`. The data
are a folder of CoNLL-U files with train and dev in their names, or sentences that are built in.

    python -m experiments.part_of_speech train --data DIR
    python -m experiments.part_of_speech evaluate runs/part_of_speech
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from nltk.tag import DefaultTagger, UnigramTagger
from torch import Tensor

from common.cli.experiment import experiment
from common.compute.device import to_host
from common.config import BASIC, MAY_CHANGE, DropoutRate, Folder, Size
from common.data.batching import Batches, bucketed_batches
from common.data.conllu import TaggedSentence, read_conllu
from common.data.splits import named_split
from common.evaluation.heat_map import heat_map
from common.models import SequenceTagger, TaggedBatch
from common.runs import Kept
from common.text import UNK, Labels, Vocabulary, word_features
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions, predictions


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to tag the words of sentences."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/part_of_speech")
    """Folder for all that the run writes."""
    data: Annotated[Folder | None, BASIC, MAY_CHANGE] = None
    """Folder of CoNLL-U files; sentences that are built in by default."""
    hidden_size: Annotated[Size, BASIC] = 160
    """Features of a hidden state in each direction."""
    bidirectional: Annotated[bool, BASIC] = True
    """Read in both directions."""
    dropout: DropoutRate = 0.5
    """Probability with which features are dropped while training."""
    training: TrainingOptions = TrainingOptions(epochs=20, batch_size=32, learning_rate=3e-3)


PLACES = ("I work at google", "I google at work")


def built_in() -> dict[str, list[TaggedSentence]]:
    """Sentences in which the same word is a verb or a noun; two of them are for validation alone."""
    words = product(("I", "you", "they"), ("work", "google", "play"), ("work", "google", "play"))
    tags = ["PRON", "VERB", "ADP", "NOUN"]
    rows = [[who, verb, "at", noun] for who, verb, noun in words if verb != noun]
    every = [TaggedSentence(row, tags) for row in rows]
    held_out = [s for s in every if {"I", "work", "google"} <= set(s.words)]
    return {"train": [s for s in every if s not in held_out], "val": held_out}


def read(folder: Path | None) -> dict[str, list[TaggedSentence]]:
    """The sentences of every split; dev is called val."""
    if folder is None:
        return built_in()
    names = {"train": "train", "val": "dev", "test": "test"}
    files = {split: sorted(folder.glob(f"*{name}*.conllu")) for split, name in names.items()}
    return {split: [s for path in files[split] for s in read_conllu(path)] for split in names}


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the tagger learns, and how it is judged."""
    data = read(options.data)
    train, _ = (named_split(data, split, options.data) for split in ("train", "val"))
    spelt = (word_features(w, n == 0) for s in train for n, w in enumerate(s.words))
    words = kept.get("words.json", Vocabulary, lambda: Vocabulary.build(spelt, min_count=2))
    labels = kept.get("tags.json", Labels, lambda: Labels.of(tag for s in train for tag in s.tags))
    model = kept.build_model(lambda: SequenceTagger(
        len(words), len(labels), embedding_size=128, hidden_size=options.hidden_size,
        bidirectional=options.bidirectional, dropout=options.dropout, unknown=UNK, unknown_rate=0.3,
    )).to(device)  # fmt: skip

    @cache
    def encoded(word: str, first: bool) -> list[int]:
        return words.encode(word_features(word, first))

    def collate(sentences: Sequence[TaggedSentence], rows: np.ndarray) -> TaggedBatch:
        chosen = [sentences[row] for row in rows]
        ids = [[encoded(word, n == 0) for n, word in enumerate(each.words)] for each in chosen]
        return TaggedBatch.collate(ids, [labels.encode(each.tags) for each in chosen])

    places = TaggedBatch.collate(
        [[encoded(w, n == 0) for n, w in enumerate(s.split())] for s in PLACES], [[-1] * 4] * 2
    ).to(device)

    def batches(epoch: int, split: str = "train", shuffle: bool = True) -> Batches[TaggedBatch]:
        sentences = named_split(data, split, options.data)
        indices = bucketed_batches(
            [len(each.words) for each in sentences], options.training.batch_size,
            seed=options.training.seed, epoch=epoch, shuffle=shuffle,
        )  # fmt: skip
        return Batches(indices, partial(collate, sentences))

    @cache
    def baseline(split: str) -> float:
        """The accuracy of the most frequent tag of each word."""
        pairs = [list(zip(*sentence, strict=True)) for sentence in train]
        counts = UnigramTagger(pairs, backoff=DefaultTagger("NOUN"))
        return counts.accuracy([list(zip(*sentence, strict=True)) for sentence in data[split]])

    def evaluate(model: SequenceTagger, split: str) -> Evaluation:
        predicted = predictions(model, batches(0, split, shuffle=False), model.predict)
        counts, lines = np.zeros((len(labels), len(labels) + 1)), list[str]()
        for sentence, tags in zip(data[split], map(Tensor.tolist, predicted), strict=True):
            np.add.at(counts, (tags, labels.encode(sentence.tags)), 1)
            rows = zip(*sentence, labels.decode(tags), strict=True)
            lines += [*map("\t".join, rows), ""]
        accuracy = float(np.trace(counts) / counts.sum())
        rates = counts[:, :-1] / counts[:, :-1].sum(0).clip(min=1)

        picture = heat_map(rates, labels.names, labels.names)

        def show(tracker: Tracker) -> None:
            tracker.images("predicted by tag", picture)
            tracker.text("tagged", "\n".join(f"    {line}" for line in lines[:60]))

        placed = (labels.decode(tags) for tags in to_host(model.predict(places)))
        right = [tags[1] == "VERB" and tags[3] in ("NOUN", "PROPN") for tags in placed]
        metrics = {"accuracy": accuracy, "baseline": baseline(split)}
        metrics["by_place"] = float(np.mean(right))
        text = "\n".join(lines)
        return Evaluation(metrics, files={"tagged.tsv": text, "tags.png": picture}, show=show)

    return Task(
        model=model, optimizer=options.training.make_optimizer(model), batches=batches,
        evaluate=evaluate, monitor="accuracy", unit="words",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
