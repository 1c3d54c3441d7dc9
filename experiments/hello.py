"""The smallest recurrent network at work: it reads "hell" and predicts "ello".

Shape: many to many. Each character is one-hot, and at every step the network predicts the next one.
After an "l" comes "l" or "o": only what was read before tells which, so that counting which character
follows which gets three of four right. The probabilities of every step are printed as a table while
they are learnt, in seconds.

    python -m experiments.hello train
    python -m experiments.hello train --word banana --cell gru
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch

from common.cli.experiment import experiment
from common.config import BASIC, MAY_CHANGE, Folder, Size
from common.errors import UserError
from common.evaluation.heat_map import heat_map
from common.models import LanguageModel, TextBatch, token_figures
from common.recurrent.names import CellName
from common.runs import Kept
from common.text import SPECIALS, Vocabulary
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions, held_out


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to spell a word."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/hello")
    """Folder for all that the run writes."""
    word: Annotated[str, BASIC] = "hello"
    """What is learnt: all but its last character is read, all but its first is predicted."""
    cell: Annotated[CellName, BASIC] = "rnn"
    """Recurrent cell."""
    hidden_size: Annotated[Size, BASIC] = 8
    """Features of the hidden state."""
    training: TrainingOptions = TrainingOptions(
        epochs=20, batch_size=1, learning_rate=0.1, weight_decay=0.0, patience=0, precision="fp32"
    )

    def check(self) -> None:
        super().check()
        if len(self.word) < 2:
            raise UserError(f"--word {self.word!r}: give at least two characters.")


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the network learns, and how it is judged."""
    word = options.word
    characters = kept.get("characters.json", Vocabulary, lambda: Vocabulary.build([[*word]]))
    names = characters.tokens[len(SPECIALS) :]
    ids = torch.tensor([characters.encode(word)])  # (1, T + 1)
    batch = TextBatch(ids[:, :-1], ids[:, 1:])
    model = kept.build_model(lambda: LanguageModel(
        len(characters), embedding_size=None, cell=options.cell, hidden_size=options.hidden_size
    )).to(device)  # fmt: skip

    followers = Counter(pairwise(word))
    best = {first: max(names, key=lambda last: followers[first, last]) for first in names}
    baseline = sum(best[first] == last for first, last in pairwise(word)) / (len(word) - 1)

    def evaluate(model: LanguageModel, split: str) -> Evaluation:
        logits, _ = model(batch.tokens.to(device))
        shown = logits[0].softmax(-1)[:, len(SPECIALS) :].cpu()  # (T, C), of its own characters
        columns = ["read", *names, "predicted"]
        rows = [
            [read, *(f"{value:.2f}" for value in row.tolist()), names[int(row.argmax())]]
            for read, row in zip(word[:-1], shown, strict=True)
        ]
        picture = heat_map(shown.numpy(), list(word[:-1]), list(names))

        def show(tracker: Tracker) -> None:
            for row in [columns, *rows]:
                tracker.say("  ".join(f"{cell:>4}" for cell in row))
            tracker.table("probabilities", columns, rows)
            tracker.images("probability of each character", picture)

        found = held_out(model, [batch], token_figures)
        metrics = {
            "loss": found["loss"], "accuracy": found["token_accuracy"], "baseline": baseline
        }  # fmt: skip
        return Evaluation(metrics, files={"probabilities.png": picture}, show=show)

    return Task(
        model=model, optimizer=options.training.make_optimizer(model),
        batches=lambda epoch: [batch], evaluate=evaluate,
        monitor="loss", mode="min", figures=token_figures, unit="characters",
    )  # fmt: skip


if __name__ == "__main__":
    experiment(Options, make_task)
