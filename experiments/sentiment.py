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

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

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
    folds: Annotated[int, BASIC, Bounds(2, 100)] = 5
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
