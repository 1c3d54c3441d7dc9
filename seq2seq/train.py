"""Training a translator, from a folder of text to a run folder; and evaluating it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from common.cli.command_line import check_file
from common.errors import UserError
from common.evaluation.translation import (
    BLEU_ORDER,
    Tokenization,
    bleu_metric,
    comparable,
    longest_in_words,
)
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.evaluating import Evaluated, evaluate_written, with_teacher_forced, writing_task
from common.progress import say, warn
from common.runs.kept import Kept
from common.runs.run import Run
from common.text.embeddings import start_from_pretrained
from common.text.language import Language
from common.text.suitability import (
    capitals_unused,
    references_reproduced,
    words_told_apart,
)
from common.text.vocabulary import Vocabulary
from common.training import session
from common.training.task import Evaluation, Task
from seq2seq.data import VAL_FRACTION, Pair, ParallelData, ParallelText, load
from seq2seq.encoder import SentenceEncoder
from seq2seq.evaluation import SCORES, evaluate, has_references, show_translations
from seq2seq.examples import TranslationExamples
from seq2seq.files import files_named, load_files, refuse_other_data
from seq2seq.model import build_model
from seq2seq.options import KIND, TrainOptions
from seq2seq.prepare import Prepared, begun_from, kept_models, prepare
from seq2seq.translator import MAX_READ, Translator

LONGEST_SCORED = 1000  # tokens of a side; a teacher-forced pass holds scores of all words for each


def train(options: TrainOptions, **how: Unpack[session.Watched]) -> Evaluation:
    """Train a translator and evaluate its best weights on the validation pairs; see `session.train`."""
    return session.train(
        options, make_task, KIND, **how,
        then="python -m seq2seq translate RUN FILE",
    )  # fmt: skip


def make_task(
    options: TrainOptions,
    kept: Kept,
    device: torch.device,
    given: Callable[[], ParallelData] | None = None,
) -> Task:
    """What a translator learns, and how it is judged.

    Args:
        options, kept, device: as a session has them.
        given: loads the data that it is judged on; by default those that the options name.

    Raises:
        UserError: the data or the options cannot be used.
    """
    options = options.with_val_fraction(kept, VAL_FRACTION)
    bleu_metric(options.scoring()["tokenize"])  # refuses one whose library is not installed
    if kept.new:  # before text is read, which may take long
        options.text.check_files()
        check_file(options.encoder.source_embeddings, "--source-embeddings")
        check_file(options.encoder.target_embeddings, "--target-embeddings")
        with torch.device("meta"):  # sizes alone
            build_model(options, Vocabulary([]), Vocabulary([]))

    @cache
    def data() -> ParallelData:
        found = load_data(options) if given is None else given()
        found.report()
        return found

    @cache
    def prepared() -> Prepared:
        if kept.new:
            return prepare(data(), options.text, options.cache_dir, begun_from(options))
        # Subwords may be of the run whose weights this one began with, which is not needed again.
        taken = options.init_from is not None and options.text.tokenizer == "subwords"
        known = (source, target) if taken else None
        models = kept_models(options.text, source, target)
        return prepare(data(), options.text, options.cache_dir, models, known)

    @cache
    def learnt() -> TranslationExamples:
        training, validation = data().translated("train"), data().translated("val")
        kept.same("data.json", {"train": training.digest, "val": validation.digest})
        pairs, _ = scored("val")  # what cannot be scored is refused before training begins
        notes = text_notes(source, target, training, pairs, options)
        tiny = options.tiny_notes(options.training, len(training), "pairs")
        for note in (*tiny, *notes, *monitor_notes(options, pairs)):
            warn(note)
        return training_examples(prepared(), options)

    @cache
    def scored(split: str) -> tuple[list[Pair], TranslationExamples]:
        most = options.validation_sentences if split == "val" else None
        pairs = list(islice(data().split(split), most))
        return pairs, encoded(pairs, source, target)

    source = kept.get_several("source_", Language, lambda: prepared().source)
    target = kept.get_several("target_", Language, lambda: prepared().target)
    if kept.new or options.source is None or options.target is None:
        # What was recognised is kept: the run knows from what into what it translates.
        options = replace(options, source=data().source_language, target=data().target_language)
    options = options.with_lengths(kept, lambda: learnt().longest_targets)
    model = kept.build_model(lambda: build_model(options, source.vocabulary, target.vocabulary)).to(
        device
    )
    if kept.new:
        initialize(model, options, source, target)

    def batches(epoch: int) -> Sequence[Batch]:
        training = options.training
        return learnt().batches(epoch, batch_size=training.batch_size, seed=training.seed)

    def evaluate_split(model: EncoderDecoder, split: str, **how: Any) -> Evaluation:
        precision = options.search.precision_of_training(kept.precision)
        search = options.search.strategy()
        translator = Translator(model, source, target, search, precision, options.longest)
        pairs, examples = scored(split)
        shown = pairs[: options.shown_sentences]
        scoring = options.scoring([pair.target for pair in pairs])
        how = {"shown": len(shown), **scoring, **how}
        evaluation = evaluate(translator, pairs, **how)
        if not has_references(pairs):
            return evaluation
        batches = examples.batches(
            0, batch_size=2 * options.training.batch_size, max_tokens=MAX_READ, shuffle=False
        )
        tokens = f"{len(target.vocabulary):,} ({options.text.tokenizer})"
        return replace(
            with_teacher_forced(evaluation, model, batches, tokens),
            show=lambda tracker: show_translations(tracker, translator, shown, evaluation.outputs),
        )

    optimizer = options.training.make_optimizer(model)
    return writing_task(
        options, model, optimizer, batches, evaluate_split, options.monitor,
        SCORES, {"encoder": ("source_", source), "decoder": ("target_", target)},
    )  # fmt: skip


def evaluate_run(
    folder: Path,
    split: str = "val",
    *,
    format: str | None = None,
    source: str | None = None,
    target: str | None = None,
    bleu_tokenize: Tokenization | None = None,
    replace_unknown: bool = False,
    max_problems: float | None = None,
    encoding: str | None = None,
    **how: Unpack[Evaluated],
) -> Evaluation:
    """Evaluate a run's best weights on the pairs of a split, and write the result to its folder.

    Args:
        folder: the run.
        split: val, test, or any other split of the data.
        format: of the data, if it is not recognised.
        source, target: the languages as the data name them; as in training by default. Or two files,
            line n of one the translation of line n of the other, which are then the data.
        bleu_tokenize: how BLEU finds words; as in training by default.
        replace_unknown: write the source word that was looked at most in the place of an unknown word.
        max_problems: fraction of the data that may be damaged; as in training by default.
        encoding: of the text files; of other data than those of the training UTF-8 by default.
        how: data, ensemble, search, ...; see `common.models.evaluating.Evaluated`.

    Raises:
        UserError: a run or the data cannot be used.
    """
    named = {
        "source": source, "target": target, "bleu_tokenize": bleu_tokenize,
        "max_problems": max_problems,
    }  # fmt: skip
    task, recorded = make_task, dict[str, str]()
    trained = Run.open(folder, KIND).read_config(TrainOptions)
    if replace_unknown and trained.decoder.attention == "none" and not how.get("ensemble"):
        raise UserError("--replace-unknown needs attention, and this translator has none.")
    files = files_named(source, target, languages=(trained.source, trained.target))
    if files is not None:
        refuse_other_data({"--data": how.get("data"), "--split": split, "--format": format})
        del named["source"], named["target"]
        how["data"], split = str(files[0]), files[1].name
        limit = trained.max_problems if max_problems is None else max_problems
        given = partial(load_files, *files, split, max_problems=limit, encoding=encoding)
        task = partial(make_task, given=given)
        recorded = {"source": str(files[0].absolute()), "target": str(files[1].absolute())}
    changes: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if format is not None or how.get("data") is not None:
        changes["format"] = format  # data that are named have a format of their own
    if how.get("data") is not None:
        changes["val_fraction"] = None  # and splits of their own
    if encoding is not None or how.get("data") is not None:
        changes["encoding"] = encoding
    changes["validation_sentences"] = None
    changed: dict[str, Any] = {} if bleu_tokenize is None else {"tok": bleu_tokenize}
    if replace_unknown:
        changed["unknown"] = "replaced"
    return evaluate_written(
        Translator, TrainOptions, task, folder, split,
        changes=changes, changed=changed, replace_unknown=replace_unknown, recorded=recorded, **how,
    )  # fmt: skip


def load_data(options: TrainOptions) -> ParallelData:
    """The data set of a run."""
    data = load(
        options.data, options.format, source=options.source, target=options.target,
        max_problems=options.max_problems, **options.how_to_load(),
    )  # fmt: skip
    if options.val_fraction == 0:
        data.validate_on_training()
    return data


def monitor_notes(options: TrainOptions, validation: Sequence[Pair]) -> Iterator[str]:
    """A line where the monitored metric says nothing of the validation pairs."""
    if options.monitor == "bleu":
        references = [pair.target for pair in validation]
        longest = longest_in_words(references, options.scoring(references)["tokenize"])
        if longest < BLEU_ORDER:
            yield (
                f"no validation reference has {BLEU_ORDER} words, so that BLEU is 0 whatever is "
                "written: the lower loss chooses the weights. Or take --monitor chrf, exact_match or "
                "loss."
            )


def training_examples(prepared: Prepared, options: TrainOptions) -> TranslationExamples:
    """The training pairs, without those that are too long or have an empty side."""
    sources, targets = prepared.sources, prepared.targets
    lengths = np.stack([sources.lengths, targets.lengths], 1)
    usable = np.flatnonzero(((lengths > 0) & (lengths <= options.max_tokens)).all(1))
    if not len(usable):
        raise UserError(
            f"no training pair has between 1 and {options.max_tokens} tokens on both sides. "
            "Raise --max-tokens, or choose another tokenizer."
        )
    if len(usable) < len(sources):
        left_out = len(sources) - len(usable)
        warn(f"{left_out:,} pairs are empty or too long and left out")
    return TranslationExamples(sources, targets, lengths=lengths, usable=usable)


def text_notes(
    source: Language,
    target: Language,
    training: ParallelText,
    validation: Sequence[Pair],
    options: TrainOptions,
) -> Iterator[str]:
    """What a user should know of the tokenizers: a line for each side that they do not suit."""
    yield from words_told_apart(source.tokenizer, (pair.source for pair in training), "source")
    yield from words_told_apart(target.tokenizer, (pair.target for pair in training), "target")
    for language, name in ((source, "source"), (target, "target")):
        yield from capitals_unused(language.tokenizer, name)
        if options.text.subword_files:
            yield language.vocabulary.summary(name)
    compared = partial(comparable, lowercase=options.text.folded)
    references = [pair.target for pair in validation]
    yield from references_reproduced(target.tokenizer, references, compared, "val")


def encoded(pairs: Sequence[Pair], source: Language, target: Language) -> TranslationExamples:
    """Pairs of text as examples, for teacher-forced figures; without those that are far too long."""
    every = [(source.encode(pair.source), target.encode(pair.target)) for pair in pairs]
    kept = [pair for pair in every if max(map(len, pair)) <= LONGEST_SCORED]
    if len(kept) < len(every):
        warn(
            f"loss and perplexity leave out {len(every) - len(kept):,} of {len(every):,} pairs: they "
            f"have more than {LONGEST_SCORED:,} tokens"
        )
    if not kept:
        raise UserError(f"none of the {len(every):,} pairs to be scored is short enough.")
    return TranslationExamples([source for source, _ in kept], [target for _, target in kept])


def initialize(
    model: EncoderDecoder, options: TrainOptions, source: Language, target: Language
) -> None:
    """Start a new model from what is known of the words: their frequencies, and their embeddings."""
    model.decoder.set_output_bias(torch.tensor(target.vocabulary.counts))
    assert isinstance(model.encoder, SentenceEncoder)
    for path, language, embedding in (
        (options.encoder.source_embeddings, source, model.encoder.embedding),
        (options.encoder.target_embeddings, target, model.decoder.embedding),
    ):
        if path is not None:
            lowercase = options.text.folded
            found = start_from_pretrained(embedding, path, language.vocabulary, lowercase=lowercase)
            say(found)
