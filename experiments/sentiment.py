"""Whether a sentence praises or not, by a recurrent network that reads it to its end.

Shape: many to one. The network corrects naive Bayes on words and pairs of words, which stands beside it
(`--alone`: it is on its own). Cross-validation: the sentences are cut into folds, and for each fold a
network and a naive Bayes learn from the others; the accuracy is that over all sentences, each judged by
those that did not see it. With `--through-time` it reads forwards, and its loss is a mean over all
words.
The data are a folder with two or more files of a sentence a line, one file for each class, as
rt-polarity.neg and rt-polarity.pos; without one, sentences are made in which one opening in four
turns the judgement: expect 1.0, and 0.75 of naive Bayes.

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
from common.compute.device import to_host
from common.config import BASIC, MAY_CHANGE, Bounds, DropoutRate, Folder, Size
from common.data.batching import Batches, bucketed_batches
from common.data.classes import ClassifiedTexts, read_classes
from common.evaluation.charts import line_chart
from common.models import ClassifiedBatch, Fold, SequenceClassifier, SideBySide
from common.runs import Kept
from common.synthetic.opinions import opinions
from common.text import UNK
from common.training import Evaluation, RunOptions, Task, TrainingOptions, held_out, predictions


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to classify sentences."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/sentiment")
    """Folder for all that the run writes."""
    data: Annotated[Folder | None, BASIC, MAY_CHANGE] = None
    """Folder with a file of sentences for each class; sentences are made by default."""
    folds: Annotated[int, BASIC, Bounds(2, 100)] = 2
    """Networks, each of which learns from all sentences but one in so many."""
    alone: Annotated[bool, BASIC] = False
    """Classify without naive Bayes."""
    through_time: Annotated[bool, BASIC] = False
    """Classify after every word."""
    hidden_size: Annotated[Size, BASIC] = 64
    """Features of a hidden state in each direction."""
    dropout: DropoutRate = 0.5
    """Probability with which features are dropped while training."""
    training: TrainingOptions = TrainingOptions(
        epochs=25, batch_size=50, learning_rate=2e-3, schedule="cosine", patience=0
    )


def read(folder: Path | None) -> ClassifiedTexts:
    """The sentences of a folder, or some that are made."""
    if folder is not None:
        return read_classes(folder)
    sentences, labels = opinions(4000)
    return ClassifiedTexts(("neg", "pos"), [each.split() for each in sentences], labels)


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the networks learn, and how they are judged."""
    data = read(options.data)
    how = options.folds, options.training.seed, kept, options.alone
    folds = [Fold(data, number, *how) for number in range(options.folds)]
    model = kept.build_model(lambda: SideBySide({
        str(number): SequenceClassifier(
            len(fold.words), len(data.names), hidden_size=options.hidden_size,
            dropout=options.dropout, bidirectional=not options.through_time,
            through_time=options.through_time, unknown=UNK, unknown_rate=0.2,
        ) for number, fold in enumerate(folds)
    })).to(device)  # fmt: skip

    def batches(epoch: int, split: str, fold: Fold) -> Batches[ClassifiedBatch]:
        indices = bucketed_batches(
            [len(each) for each in fold.tokens[split]], options.training.batch_size,
            seed=options.training.seed, epoch=epoch, shuffle=split == "train",
        )  # fmt: skip
        return Batches(indices, partial(fold.collate, split))

    def together(epoch: int) -> Batches[dict[str, ClassifiedBatch]]:
        each = [batches(epoch, "train", fold) for fold in folds]
        steps = [np.array([step]) for step in range(min(map(len, each)))]
        return Batches(steps, lambda at: {str(n): of[int(at[0])] for n, of in enumerate(each)})

    def evaluate(model: SideBySide, split: str) -> Evaluation:
        right: dict[str, list[np.ndarray]] = {}
        lines, fit = list[str](), 0.0
        for fold, network in zip(folds, model.by_name.values(), strict=True):
            found = np.array(predictions(network, batches(0, "val", fold), network.predict))
            true = fold.labels["val"]
            for name, classes in {"accuracy": found, **fold.baselines}.items():
                right.setdefault(name, []).append(classes == true)
            fit += held_out(network, batches(0, "train", fold)[:20])["loss"] / len(folds)
            for at in np.flatnonzero(found != true):
                names = data.names[true[at]], data.names[found[at]]
                lines.append("\t".join([*names, *data.texts[fold.rows["val"][at]]]))
        metrics = {name: float(np.concatenate(each).mean()) for name, each in right.items()}
        metrics["spread"] = float(np.std([each.mean() for each in right["accuracy"]]))
        behind = metrics["accuracy"] < metrics["bayes_pairs"]
        first, rising = model.by_name["0"], dict[str, list[float]]()
        for words in (data.texts[row] for row in folds[0].rows["val"][:5]):
            read = to_host(first.probabilities(folds[0].beginnings(words).to(device)))
            rising[" ".join(words)[:30]] = read[:, -1].tolist()
        picture = line_chart(rising, "words read", f"probability of {data.names[-1]}")
        return Evaluation(
            metrics | {"fit": fit},
            notes=["The network stays below naive Bayes on words and pairs."] if behind else [],
            files={"mistaken.tsv": "\n".join(lines), "words.png": picture},
            show=lambda tracker: tracker.images("probability by words read", picture),
        )

    return Task(
        model=model, optimizer=options.training.make_optimizer(model), batches=together,
        evaluate=evaluate, monitor="fit", mode="min", unit="sentences",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
