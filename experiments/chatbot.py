"""A chatbot: one recurrent network reads a question, another writes the answer.

Shape: sequence to sequence. By the parts of the translator. It learns the training questions by heart:
`exact` is the fraction of 200 with a single answer that it answers to the letter. 20 held-out questions,
drawn by the seed, are printed with all answers. Beside it stands the answer of the most similar training
question by tf-idf (`_nearest`). `distinct_1` and `_2` are the fractions of different words and pairs in
all answers. Without data it learns facts of countries: expect 1.

    python -m experiments.chatbot train
    python -m experiments.chatbot train --data DIR --tokenizer subwords --vocabulary-size 4000
    python -m experiments.chatbot talk runs/chatbot
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import torch

from common.cli.experiment import TrainedRun, experiment
from common.config import BASIC, MAY_CHANGE, DropoutRate, Folder, Size
from common.data.batching import Batches
from common.data.pairs import Pair, unambiguous
from common.data.splits import named_split
from common.decoding import Greedy, RecurrentDecoder
from common.decoding.names import Injection
from common.decoding.options import SearchOptions
from common.errors import printable
from common.evaluation.diversity import distinct
from common.evaluation.translation import score_translations
from common.models import TOKEN_CHARTS, Batch, EncoderDecoder, nearest_targets, token_figures
from common.models.evaluating import with_teacher_forced
from common.models.options import TextOptions
from common.runs import Kept, Run
from common.synthetic.questions import questions_and_answers
from common.text import Language
from common.training import Evaluation, RunOptions, Task, TrainingOptions
from seq2seq.data import load
from seq2seq.encoder import SentenceEncoder
from seq2seq.train import encoded
from seq2seq.translator import Translator

INJECT: tuple[Injection, ...] = ("init",)  # attention reads the rest
LEARNT, SHOWN = 200, 20  # questions whose answers must be exact, and that are shown


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Learn to answer questions."""

    run_dir: Annotated[Folder, BASIC, MAY_CHANGE] = Path("runs/chatbot")
    """Folder for all that the run writes."""
    data: Annotated[Folder | None, BASIC, MAY_CHANGE] = None
    """Folder of questions and answers, in any format of the translator, as a CSV file of two columns;
    questions about countries by default. Without splits, one in twenty is for validation."""
    hidden_size: Annotated[Size, BASIC] = 256
    """Features of the decoder's state, and of both directions of the encoder's; a token has half."""
    dropout: DropoutRate = 0.2
    """Fraction of the features dropped while training."""
    text: TextOptions = TextOptions(min_count=1, lowercase=False)
    training: TrainingOptions = TrainingOptions(
        epochs=30, batch_size=16, learning_rate=3e-3, schedule="cosine", patience=0
    )


@dataclass(frozen=True, kw_only=True)
class TalkOptions(TrainedRun):
    """Answer what is typed, line by line."""

    search: SearchOptions = SearchOptions()


def read(folder: Path | None) -> dict[str, list[Pair]]:
    """Questions with their answers, by split."""
    if folder is None:
        return questions_and_answers()
    data = load(folder)
    return {split: list(data.split(split)) for split in data.splits}


def make_task(options: Options, kept: Kept, device: torch.device) -> Task:
    """What the network learns, and how it is judged."""
    training, size, drop = options.training, options.hidden_size, options.dropout
    pairs = cache(lambda split: named_split(read(options.data), split, options.data, "pair"))
    language = kept.get_several("", Language, lambda: options.text.learn(
        lambda _: [text for pair in pairs("train") for text in pair], punctuation=True
    ))  # fmt: skip
    sizes = len(language.vocabulary), size // 2

    def network() -> EncoderDecoder:
        encoder = SentenceEncoder(*sizes, size // 2, embedding_dropout=drop, output_dropout=drop)
        decoder = RecurrentDecoder(
            *sizes, size, encoder.context_size, memory_size=encoder.memory_size,
            inject=INJECT, attention="additive", embedding_dropout=drop, output_dropout=drop,
        )  # fmt: skip
        encoder.embedding.weight = decoder.embedding.weight
        return EncoderDecoder(encoder, decoder)

    model = kept.build_model(network).to(device)
    examples = cache(lambda split: encoded(pairs(split), language, language))
    words = language.tokenizer.encode
    nearest = cache(lambda split: nearest_targets(pairs("train"), pairs(split), words))

    def batches(epoch: int, split: str = "train") -> Batches[Batch]:
        how = {"batch_size": training.batch_size, "seed": training.seed}
        return examples(split).batches(epoch, shuffle=split == "train", **how)

    def evaluate(model: EncoderDecoder, split: str) -> Evaluation:
        bot = Translator(model, language, language, Greedy())
        known, right = zip(*unambiguous(pairs("train"), LEARNT, training.seed), strict=True)
        metrics = {"exact": score_translations(bot.translate(known), right).metrics["exact_match"]}
        questions, references = map(list, zip(*pairs(split), strict=True))
        given = {"": bot.translate(questions), "_nearest": nearest(split)}
        for name, answers in {**given, "_reference": references}.items():
            metrics |= {f"distinct_{n}{name}": distinct(answers, n) for n in (1, 2)}
        for name, answers in given.items():
            metrics[f"chrf{name}"] = score_translations(answers, references).metrics["chrf"]
        columns = "question", "answer", "nearest", "reference"
        rows = list(zip(questions, *given.values(), references, strict=True))
        shown = random.Random(training.seed).sample(rows, min(SHOWN, len(rows)))
        lines = ["\t".join(each) for each in (columns, *shown)]
        evaluation = Evaluation(
            metrics, files={"answers.tsv": "\n".join(lines)}, notes=lines,
            show=lambda tracker: tracker.table("answers", columns, shown),
        )  # fmt: skip
        return with_teacher_forced(evaluation, model, batches(0, split), options.text.tokenizer)

    return Task(
        model=model, optimizer=training.make_optimizer(model), batches=batches, evaluate=evaluate,
        monitor="exact", figures=token_figures, unit="tokens", charts=TOKEN_CHARTS,
    )  # fmt: skip


def talk(chosen: TalkOptions, model: EncoderDecoder, run: Run) -> None:
    """Answer each line of standard input."""
    language = Language.load(run.existing)
    bot = Translator(model, language, language, chosen.search.strategy())
    if sys.stdin.isatty():
        print("Write something and press Enter; Ctrl-D ends.", file=sys.stderr)
    for line in sys.stdin:
        print(printable(bot.translate([line])[0]), flush=True)


if __name__ == "__main__":
    experiment(Options, make_task, talk=(TalkOptions, talk))
