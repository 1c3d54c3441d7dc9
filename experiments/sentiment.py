"""Whether a sentence praises or not, by a recurrent network that reads it to its end.

The network corrects naive Bayes on words and pairs of words, which stands beside it (`--alone`: it is on
its own). Cross-validation: the sentences are cut into folds, and for each fold a network and a naive
Bayes learn from the others; the accuracy is that over all sentences, each judged by those that did not
see it. With `--through-time` it reads forwards, and its loss is a mean over all words.
The data are a folder with two or more files of a sentence a line, one file for each class, as
rt-polarity.neg and rt-polarity.pos; without one, sentences are made in which "not" turns what follows:
expect 1.0, and much less of naive Bayes.

    python -m experiments.sentiment train
    python -m experiments.sentiment train --data DIR --folds 10
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from common.cli.experiment import experiment
from common.config import BASIC, MAY_CHANGE, Bounds, DropoutRate, Folder, Positive
from common.data.batching import Batches, bucketed_batches
from common.data.classes import ClassifiedTexts, read_classes
from common.models import ClassifiedBatch, NaiveBayes, SequenceClassifier, SideBySide
from common.runs import Kept
from common.synthetic.opinions import opinions
from common.text import UNK, Vocabulary
from common.training import Evaluation, RunOptions, Task, TrainingOptions, held_out, predictions


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to classify sentences."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/sentiment")
    """Folder for all that the run writes."""
    data: Annotated[Folder | None, BASIC, MAY_CHANGE] = None
    """Folder with a file of sentences for each class; sentences are made by default."""
    folds: Annotated[int, BASIC, Bounds(2, 100)] = 3
    """Networks, each of which learns from all sentences but one in so many."""
    alone: Annotated[bool, BASIC] = False
    """Classify without naive Bayes."""
    through_time: Annotated[bool, BASIC] = False
    """Classify after every word."""
    hidden_size: Annotated[Positive, BASIC] = 64
    """Features of a hidden state in each direction."""
    dropout: DropoutRate = 0.5
    """Probability with which features are dropped while training."""
    unknown_rate: DropoutRate = 0.2
    """Probability with which words and pairs are hidden while training."""
    training: TrainingOptions = TrainingOptions(
        epochs=5, batch_size=50, learning_rate=2e-3, schedule="cosine", patience=0
    )


def with_pairs(words: list[str]) -> list[str]:
    """The words, and each pair of neighbours."""
    return words + [f"{first} {second}" for first, second in zip(words, words[1:], strict=False)]


def read(folder: Path | None) -> ClassifiedTexts:
    """The sentences of a folder, or some that are made."""
    if folder is not None:
        return read_classes(folder)
    sentences, labels = opinions(3000)
    return ClassifiedTexts(("neg", "pos"), [each.split() for each in sentences], labels)


class Fold:
    """What one network learns from and is judged on, with its vocabulary and its naive Bayes."""

    def __init__(self, number: int, data: ClassifiedTexts, options: Options, kept: Kept) -> None:
        order = np.random.default_rng(options.training.seed).permutation(len(data.texts))
        mine = np.arange(len(order)) % options.folds == number
        self.rows = {"train": order[~mine], "val": order[mine]}
        self.labels = {split: np.array(data.labels)[rows] for split, rows in self.rows.items()}
        learnt, held = ([data.texts[row] for row in rows] for rows in self.rows.values())
        pairs, held_pairs = ([with_pairs(words) for words in texts] for texts in (learnt, held))
        self.words = kept.get(
            f"words-{number}.json", Vocabulary, lambda: Vocabulary.build(pairs, min_count=2)
        )
        bayes = NaiveBayes(pairs, self.labels["train"], len(data.names))
        words = NaiveBayes(learnt, self.labels["train"], len(data.names))(held)
        # A network corrects the scores of sentences that its naive Bayes did not count.
        self.base = {"train": bayes.left_out, "val": bayes(held_pairs)}
        self.baselines = {"bayes_words": words.argmax(1), "bayes_pairs": self.base["val"].argmax(1)}
        if options.alone:
            self.base = {split: np.zeros_like(base) for split, base in self.base.items()}
        self.tokens = {"train": self.encode(learnt), "val": self.encode(held)}

    def encode(self, texts: list[list[str]]) -> list[np.ndarray]:
        """For each text (T, 2): of each word, itself and the pair that it ends."""
        found = ((words, ["", *with_pairs(words)[len(words) :]]) for words in texts)
        return [np.array([self.words.encode(each) for each in both]).T for both in found]

    def collate(self, split: str, rows: np.ndarray) -> ClassifiedBatch:
        """A batch of some of the sentences of a split."""
        base = self.base[split][rows]
        if base.shape[1] == 2:  # one logit
            base = base[:, 1:] - base[:, :1]
        tokens = [self.tokens[split][row] for row in rows]
        return ClassifiedBatch.collate(tokens, self.labels[split][rows], base)


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how they are judged."""
    data = read(options.data)
    folds = [Fold(number, data, options, kept) for number in range(options.folds)]
    model = SideBySide({
        str(number): SequenceClassifier(
            len(fold.words), len(data.names), hidden_size=options.hidden_size,
            dropout=options.dropout, bidirectional=not options.through_time,
            through_time=options.through_time, unknown=UNK, unknown_rate=options.unknown_rate,
        ) for number, fold in enumerate(folds)
    }).to(device)  # fmt: skip

    def batches(
        epoch: int, split: str, fold: Fold, shuffle: bool = True
    ) -> Batches[ClassifiedBatch]:
        indices = bucketed_batches(
            [len(each) for each in fold.tokens[split]], options.training.batch_size,
            seed=options.training.seed, epoch=epoch, shuffle=shuffle,
        )  # fmt: skip
        return Batches(indices, partial(fold.collate, split))

    def together(epoch: int) -> Batches[dict[str, ClassifiedBatch]]:
        each = [batches(epoch, "train", fold) for fold in folds]
        steps = [np.array([step]) for step in range(min(map(len, each)))]
        return Batches(steps, lambda at: {str(n): of[int(at[0])] for n, of in enumerate(each)})

    def evaluate(model: SideBySide, split: str) -> Evaluation:
        right: dict[str, list[np.ndarray]] = {}
        lines, fit = list[str](), 0.0
        for fold, network in zip(folds, model.models.values(), strict=True):
            found = predictions(network, batches(0, "val", fold, shuffle=False), network.predict)
            guessed = {"accuracy": np.array(found), **fold.baselines}
            for name, classes in guessed.items():
                right.setdefault(name, []).append(classes == fold.labels["val"])
            fit += held_out(network, batches(0, "train", fold)[:20])["loss"] / len(folds)
            for row, guess, label in zip(fold.rows["val"], found, fold.labels["val"], strict=True):
                if guess != label:
                    words = " ".join(data.texts[row])
                    lines.append(f"{data.names[label]}\t{data.names[int(guess)]}\t{words}")
        metrics = {name: float(np.concatenate(each).mean()) for name, each in right.items()}
        metrics |= {
            "spread": float(np.std([each.mean() for each in right["accuracy"]])),
            "fit": fit,
        }
        return Evaluation(metrics, files={"mistaken.tsv": "\n".join(lines)})

    return Task(
        model=model, optimizer=options.training.make_optimizer(model), batches=together,
        evaluate=evaluate, monitor="fit", mode="min", unit="sentences",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
