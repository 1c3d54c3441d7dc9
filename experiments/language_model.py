"""The next character or word of any text, and new texts that are written token by token.

Shape: many to many. A text is read as one stream, with the state carried on (truncated backpropagation
through time); line by line; or in all windows of a few tokens. Beside the network stands a model of
counts (Kneser-Ney). Without data it learns a Korean sentence by heart, to a loss near 0.2.

    python -m experiments.language_model train --data FILE --reading stream --steps 48
    python -m experiments.language_model write runs/language_model --prefix "To be" --temperature 0.8
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from common.cli.experiment import TrainedRun, experiment
from common.config import BASIC, MAY_CHANGE, File, Folder, Positive, Seed
from common.data.texts import TextTokens, read_split, windows
from common.decoding import Sampling
from common.evaluation.charts import line_chart
from common.evaluation.kneser_ney import KneserNey
from common.models.language_model import LanguageModel, score
from common.models.options import LanguageModelOptions
from common.models.text_batches import TextBatch, stream_batches, text_batches, whole_texts
from common.models.text_writer import TextWriter
from common.models.tokens import TOKEN_CHARTS, token_figures
from common.runs import Kept, Run
from common.text import EOS, PAD, Vocabulary
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions

SENTENCE = (
    "알엔엔 으로 자연어 처리하기 어렵지 않아요 기본은 전부 같기때문이죠 "
    "그래서 제가 쉽게 설명드리려고 하는겁니다 왜냐하면 쉬우니까요"
)
BLOCK = 256  # tokens of a stream that are also scored from a zero state
CONTEXT = 512  # tokens that are read before those that are scored; more change nothing


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to predict the next character or word of a text."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/language_model")
    """Folder for all that the run writes."""
    data: Annotated[File | None, BASIC, MAY_CHANGE] = None
    """Text, plain or .gz; a Korean sentence by default. Beside train.NAME, val.NAME is what is validated
    on; of any other file, the last tenth."""
    unit: Annotated[Literal["characters", "words"], BASIC] = "characters"
    """What a token is; words are in lower case, and signs are words."""
    reading: Annotated[Literal["windows", "lines", "stream"], BASIC] = "windows"
    """All windows of some tokens, each line by itself, or the whole text with the state carried on."""
    steps: Annotated[Positive, BASIC] = 20
    """Tokens of a window, or of a chunk of the stream."""
    min_count: Positive = 1
    """Fewest times that a token must occur in the training text; rarer ones are unknown."""
    model: LanguageModelOptions = LanguageModelOptions()
    training: TrainingOptions = TrainingOptions(
        epochs=100, batch_size=32, weight_decay=0.0, clip_norm=0.0, patience=0
    )

    @property
    def form(self) -> TextTokens:
        return TextTokens(self.unit, lines=self.reading == "lines")


@dataclass(frozen=True, kw_only=True)
class WriteOptions(TrainedRun):
    """Write texts with a trained run."""

    prefix: Annotated[str, BASIC] = ""
    """How the texts begin."""
    seed: Annotated[Seed, BASIC] = 0
    """Of what is drawn."""
    sampling: Sampling = Sampling(max_length=400)


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the model learns, and how it is judged."""
    form, training, fewest = options.form, options.training, options.min_count

    def texts(split: str) -> list[list[str]]:
        return form.split(read_split(options.data or SENTENCE, split, form.lines))

    words = kept.get("tokens.json", Vocabulary, lambda: Vocabulary.build(texts("train"), fewest))
    rows = training.batch_size if options.reading == "stream" else 0
    model = kept.build_model(lambda: options.model.build(len(words), rows))
    model.set_unseen(torch.tensor(words.counts))

    @cache
    def ids(split: str) -> list[list[int]]:
        return [words.encode(text) + [EOS] * form.lines for text in texts(split)]

    @cache
    def parts(split: str) -> tuple[Tensor, Tensor]:
        """Tokens and targets (N, T) of what is read from a zero state."""
        if form.lines:
            return whole_texts(ids(split))
        length, stride = (BLOCK, BLOCK) if rows else (options.steps, 1)
        return windows(ids(split)[0], length, stride, ignore=PAD)

    def batches(epoch: int) -> Sequence[TextBatch]:
        if rows:
            return stream_batches(ids("train")[0], rows, options.steps, training.seed, epoch)
        return text_batches(*parts("train"), training.batch_size, training.seed, epoch)

    @cache
    def counted(split: str) -> float:
        order = 7 if form.unit == "characters" else 4  # higher ones do not predict better
        return KneserNey(ids("train"), len(words), order).nll(ids(split))

    def evaluate(model: LanguageModel, split: str) -> Evaluation:
        scored, baseline = score(model, *parts(split)), counted(split)
        metrics = {"loss": scored.loss, "token_accuracy": scored.accuracy}
        if rows:
            whole = windows(ids(split)[0], 5 * CONTEXT, 4 * CONTEXT, context=CONTEXT, ignore=PAD)
            metrics |= {"loss_in_blocks": scored.loss, "loss": score(model, *whole).loss}
        metrics |= {"perplexity": math.exp(metrics["loss"]), "baseline": baseline}
        lines = {"network": scored.by_position, "counts": [baseline] * len(scored.by_position)}
        chart = line_chart(lines, f"{options.unit} read before", "nats")
        (text,) = TextWriter(model, words, form).write("", Sampling(max_length=200))

        def show(tracker: Tracker) -> None:
            tracker.images("loss by position", chart)
            tracker.text("sample", "\n".join(f"    {line}" for line in text.splitlines()))

        return Evaluation(metrics, files={"sample.txt": text, "loss.png": chart}, show=show)

    return Task(
        model=model.to(device), optimizer=training.make_optimizer(model), batches=batches,
        evaluate=evaluate, monitor="loss", mode="min", figures=token_figures, unit=options.unit,
        charts=TOKEN_CHARTS,
    )  # fmt: skip


def write(chosen: WriteOptions, model: LanguageModel, run: Run) -> None:
    """Print texts that begin with a prefix."""
    words = Vocabulary.load(run.existing("tokens.json"))
    writer = TextWriter(model, words, run.read_config(Options).form)
    print(*writer.write(chosen.prefix, chosen.sampling, chosen.seed), sep="\n\n")


if __name__ == "__main__":
    experiment(Options, make_task, write=(WriteOptions, write))
