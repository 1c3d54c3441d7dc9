"""A chatbot: one recurrent network reads a question, another writes the answer.

Sequence to sequence, by the parts of the translator. It learns questions by heart: `exact` is the
fraction of 200 training questions, of those with a single answer, that it answers to the letter. What
it makes of others is shown uncut: 20 held-out questions, drawn by the seed. Beside it stands the answer
of the most similar training question by tf-idf (`_nearest`). `distinct_1` and `_2` are the fractions of
different words and pairs among all that it answers: a network that always says the same has little.
Without data it learns about countries, with some wordings held out: expect `exact` 1.0.

    python -m experiments.chatbot train
    python -m experiments.chatbot train --data DIR --tokenizer subwords --vocabulary-size 4000
    python -m experiments.chatbot talk runs/chatbot
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from common.cli.experiment import TrainedRun, experiment
from common.config import BASIC, MAY_CHANGE, DropoutRate, Folder, Size
from common.data.batching import Batches
from common.data.splits import named_split, seeded_split
from common.decoding import Greedy, RecurrentDecoder
from common.decoding.options import SearchOptions
from common.errors import printable
from common.evaluation.translation import comparable, score_translations
from common.models import Batch, EncoderDecoder, token_figures
from common.models.nearest import NearestText
from common.models.options import TextOptions
from common.models.tokens import TOKEN_CHARTS
from common.runs import Kept, Run
from common.synthetic.questions import questions_and_answers
from common.text import Language
from common.training import Evaluation, RunOptions, Task, Tracker, TrainingOptions, held_out
from seq2seq.data import Pair, load
from seq2seq.encoder import SentenceEncoder
from seq2seq.examples import TranslationExamples
from seq2seq.translator import Translator

LEARNT, SHOWN = 200, 20  # questions whose answers are compared, and that are shown


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to answer questions."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/chatbot")
    """Folder for all that the run writes."""
    data: Annotated[Folder | None, BASIC, MAY_CHANGE] = None
    """Folder of questions and answers, in any format of the translator, as a CSV file of two columns;
    questions about countries by default. Without splits, one in twenty is for validation."""
    hidden_size: Annotated[Size, BASIC] = 256
    """Features of the decoder's hidden state, and of both directions of the encoder's."""
    embedding_size: Annotated[Size, BASIC] = 128
    """Features of a token."""
    dropout: DropoutRate = 0.2
    """Fraction of the features dropped while training."""
    text: TextOptions = TextOptions(min_count=1, lowercase=False)
    training: TrainingOptions = TrainingOptions(
        epochs=25, batch_size=32, learning_rate=3e-3, schedule="cosine", patience=0
    )


@dataclass(frozen=True, kw_only=True)
class TalkOptions(TrainedRun):
    """Answer what is typed, line by line."""

    search: SearchOptions = SearchOptions()


def read(folder: Path | None) -> dict[str, list[Pair]]:
    """The pairs of each split."""
    if folder is not None:
        data = load(folder)
        return {split: list(data.split(split)) for split in data.splits}
    pairs: dict[str, list[Pair]] = {"train": [], "val": []}
    for pair in questions_and_answers():
        pairs[seeded_split(pair[0], 0, 0.2, 0)].append(Pair(*pair))
    return pairs


def distinct(texts: Sequence[str], n: int) -> float:
    """The fraction of different ones among all runs of n words (Li et al. 2016)."""
    words = [text.split() for text in texts]
    runs = [tuple(each[at : at + n]) for each in words for at in range(len(each) - n + 1)]
    return len(set(runs)) / max(1, len(runs))


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the network learns, and how it is judged."""
    training, size = options.training, options.hidden_size
    data = cache(lambda: read(options.data))
    texts = lambda: [text for pair in named_split(data(), "train", options.data) for text in pair]
    language = kept.get_several(
        "", Language, lambda: options.text.learn(lambda _: texts(), punctuation=True)
    )
    tokens = len(language.vocabulary)
    dropout = {"embedding_dropout": options.dropout, "output_dropout": options.dropout}

    def network() -> EncoderDecoder:
        encoder = SentenceEncoder(tokens, options.embedding_size, size // 2, **dropout)
        decoder = RecurrentDecoder(
            tokens, options.embedding_size, size, encoder.context_size,
            memory_size=encoder.memory_size, inject=("init",), attention="additive", **dropout,
        )  # fmt: skip
        encoder.embedding.weight = decoder.embedding.weight
        return EncoderDecoder(encoder, decoder)

    model = kept.build_model(network).to(device)

    @cache
    def examples(split: str) -> TranslationExamples:
        pairs = named_split(data(), split, options.data)
        return TranslationExamples(*([language.encode(t) for t in side] for side in zip(*pairs)))

    def batches(epoch: int, split: str = "train") -> Batches[Batch]:
        how = {"batch_size": training.batch_size, "seed": training.seed}
        return examples(split).batches(epoch, shuffle=split == "train", **how)

    @cache
    def nearest(split: str) -> list[str]:
        train = data()["train"]
        find = NearestText([language.tokenizer.encode(pair.source) for pair in train])
        return [train[find(language.tokenizer.encode(p.source))].target for p in data()[split]]

    @cache
    def learnt() -> list[Pair]:
        answers: dict[str, set[str]] = {}
        for question, answer in data()["train"]:
            answers.setdefault(question, set()).add(answer)
        single = [Pair(q, *a) for q, a in answers.items() if len(a) == 1]
        draws = np.random.default_rng(training.seed)
        return [single[at] for at in draws.permutation(len(single))[:LEARNT]]

    def evaluate(model: EncoderDecoder, split: str) -> Evaluation:
        metrics = held_out(model, batches(0, split), token_figures)
        bot, pairs = Translator(model, language, language, Greedy()), data()[split]
        same = [
            comparable(written, lowercase=options.text.folded)
            == comparable(pair.target, lowercase=options.text.folded)
            for written, pair in zip(
                bot.translate([p.source for p in learnt()]), learnt(), strict=True
            )
        ]
        answers, references = bot.translate([p.source for p in pairs]), [p.target for p in pairs]
        metrics["exact"] = float(np.mean(same))
        for name, texts in {
            "": answers,
            "_nearest": nearest(split),
            "_reference": references,
        }.items():
            scored = score_translations(texts, references)
            metrics[f"chrf{name}"] = scored.metrics["chrf"]
            metrics |= {f"distinct_{n}{name}": distinct(texts, n) for n in (1, 2)}
        shown = np.random.default_rng(training.seed).permutation(len(pairs))[:SHOWN]
        columns = "question", "answer", "nearest", "reference"
        rows = [(pairs[at].source, answers[at], nearest(split)[at], references[at]) for at in shown]

        def show(tracker: Tracker) -> None:
            tracker.table("answers", columns, rows)

        text = "\n".join("\t".join(row) for row in [columns, *rows])
        return Evaluation(metrics, files={"answers.tsv": text}, show=show)

    return Task(
        model=model, optimizer=training.make_optimizer(model), batches=batches,
        evaluate=evaluate, monitor="exact", figures=token_figures, unit="tokens", charts=TOKEN_CHARTS,
    )  # fmt: skip


def talk(chosen: TalkOptions, model: EncoderDecoder, run: Run) -> None:
    """Answer each line of standard input."""
    language = Language.load(run.existing)
    bot = Translator(model, language, language, chosen.search.strategy())
    if sys.stdin.isatty():
        print("Write something and press Enter; Ctrl-D ends.", file=sys.stderr)
    for line in sys.stdin:
        print(printable(bot.translate([line.rstrip("\n")])[0]), flush=True)


if __name__ == "__main__":
    experiment(Options, make_task, talk=(TalkOptions, talk))
