"""Training a translator, from a folder of text to a run folder; and evaluating it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from common.cli.command_line import check_file
from common.compute.precision import choose_precision
from common.config.bounds import check_bounds
from common.config.changes import may_change
from common.decoding.search import Search
from common.errors import UserError
from common.evaluation.subject import Subject
from common.evaluation.translation import Tokenization, check_tokenization
from common.files import write_json
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.tokens import TOKEN_CHARTS, token_figures
from common.models.writer import Call
from common.runs.run import Run
from common.text.embeddings import start_from_pretrained
from common.text.language import Language
from common.text.vocabulary import UNK, Vocabulary
from common.training.tracking import Tracker
from common.training.trainer import OnProgress, Trainer
from common.training.validation import held_out
from seq2seq.data import Pair, ParallelData, load
from seq2seq.encoder import SentenceEncoder
from seq2seq.evaluation import Evaluation, evaluate, write_evaluation
from seq2seq.examples import TranslationExamples
from seq2seq.loading import KIND, build_model, load_ensemble
from seq2seq.options import TrainOptions
from seq2seq.prepare import Prepared, prepare, usable_pairs
from seq2seq.showcase import Showcase
from seq2seq.translator import MAX_READ, Translator

LONGEST_SCORED = 1000  # tokens of a side; a teacher-forced pass holds scores of all words for each


def train(options: TrainOptions, *, on_progress: OnProgress | None = None) -> Evaluation:
    """Train a translator and evaluate its best weights on the validation sentences.

    Args:
        options: of the run.
        on_progress: as `Trainer` takes it.

    Returns:
        The evaluation that is also written to the run folder.

    Raises:
        UserError: the data, the options or the folder cannot be used.
    """
    check(options)
    continues = Run.continues(options.run_dir, options.resume)
    changeable = set(may_change(options))
    Run.check(
        options.run_dir, resume=options.resume, overwrite=options.overwrite,
        kind=KIND, config=options, may_change=changeable,
    )  # fmt: skip
    began = Run.open(options.run_dir, KIND).read_config(TrainOptions) if continues else None
    device = options.training.begin()
    data = load_data(options)
    print(data.summary(), file=sys.stderr)
    # What was recognised is written down: the run knows from what into what it translates.
    options = replace(options, source=data.source_language, target=data.target_language)
    validation = list(islice(data.split("val"), options.validation_sentences))
    prepared = prepare(data, options.text, options.cache_dir)
    source, target = prepared.source, prepared.target
    for name, language in ((options.source, source), (options.target, target)):
        print(language.vocabulary.summary(str(name)), file=sys.stderr)

    model = build_model(options, source.vocabulary, target.vocabulary).to(device)
    training = options.training.settle_precision(model, began.training if began else None)
    options = replace(options, training=training)
    model.decoder.set_output_bias(torch.tensor(target.vocabulary.counts))
    if not continues:
        start_from_pretrained_embeddings(model, options, source, target)
    translator = Translator(
        model, source, target,
        options.search.strategy(), options.search.precision_of_training(training.precision),
    )  # fmt: skip
    # All that may refuse the data or the options comes before the folder, which may hold a run.
    examples = training_examples(prepared, options)
    digests = {name: data.split(name).digest for name in ("train", "val")}
    kept = dict([*source.files("source_"), *target.files("target_")])
    kept["data.json"] = partial(write_json, value=digests)
    run = Run.create(
        options.run_dir, KIND, options,
        resume=options.resume, overwrite=options.overwrite, may_change=changeable, keep=kept,
    )  # fmt: skip

    with Tracker(run.path, charts=TOKEN_CHARTS) as tracker:
        tracker.configuration(asdict(options))
        trainer = make_trainer(translator, options, examples, validation, run, tracker, on_progress)
        trainer.fit()
    model.eval()
    evaluation = evaluate(translator, validation, **options.scoring())
    own = Path(options.data)
    search = translator.search.to_dict()
    subject = Subject("val", own, own, search=search, precision=translator.precision)
    write_evaluation(run.path, subject, evaluation)
    return evaluation


def check(options: TrainOptions) -> None:
    """Refuse options that do not go together, before anything slow is done.

    Raises:
        UserError: they do not, or a number is out of bounds.
    """
    check_bounds(options)
    options.training.check()
    options.loss.check(options.decoder)
    options.search.strategy()
    encoder, text = options.encoder, options.text
    if encoder.share_embeddings and not text.joint:
        raise UserError("--share-embeddings needs one vocabulary for both languages: add --joint.")
    sizes = encoder.source_embedding_size, options.decoder.embedding_size
    if encoder.share_embeddings and sizes[0] != sizes[1]:
        raise UserError(
            "--share-embeddings has one matrix: --source-embedding-size and --embedding-size are "
            f"{sizes[0]} and {sizes[1]}; make them equal."
        )
    if encoder.share_embeddings and encoder.source_embeddings and encoder.target_embeddings:
        raise UserError("--share-embeddings has one matrix: name one file of embeddings, not two.")
    if text.subword_sampling and text.tokenizer != "subwords":
        raise UserError("--subword-sampling draws subwords: add --tokenizer subwords.")
    if text.subword_sampling > 1 and text.subword_model == "bpe":
        raise UserError(
            f"--subword-sampling {text.subword_sampling} is no probability, which it is of merges "
            "(bpe): take 0 to 1."
        )
    if not Run.continues(options.run_dir, options.resume):
        check_file(encoder.source_embeddings, "--source-embeddings")
        check_file(encoder.target_embeddings, "--target-embeddings")
    check_tokenization(options.scoring()["tokenize"])
    with torch.device("meta"):  # sizes alone
        build_model(options, Vocabulary([]), Vocabulary([]))


def start_from_pretrained_embeddings(
    model: EncoderDecoder, options: TrainOptions, source: Language, target: Language
) -> None:
    """Put in the embeddings of the files that the options name, if they do."""
    assert isinstance(model.encoder, SentenceEncoder)
    for path, language, embedding in (
        (options.encoder.source_embeddings, source, model.encoder.embedding),
        (options.encoder.target_embeddings, target, model.decoder.embedding),
    ):
        if path is not None:
            lowercase = options.text.lowercase
            said = start_from_pretrained(embedding, path, language.vocabulary, lowercase=lowercase)
            print(said, file=sys.stderr)


def make_trainer(
    translator: Translator,
    options: TrainOptions,
    examples: TranslationExamples,
    validation: Sequence[Pair],
    run: Run,
    tracker: Tracker,
    on_progress: OnProgress | None = None,
) -> Trainer:
    """The trainer of a translator: what it learns from, and what it reports after each epoch."""
    training, model = options.training, translator.model
    assert isinstance(model, EncoderDecoder)
    attention = model.decoder.attention is not None
    showcase = Showcase(
        translator, validation[: options.shown_sentences], tracker, attention=attention
    )
    checks = encoded(validation, translator.source, translator.target)

    def validate() -> dict[str, float]:
        evaluation = evaluate(translator, validation, description="validation", **options.scoring())
        showcase.show(evaluation.translations)
        batches = checks.batches(
            0, batch_size=2 * training.batch_size, max_tokens=MAX_READ, shuffle=False
        )
        return held_out(model, batches, token_figures) | evaluation.metrics

    def batches(epoch: int) -> Sequence[Batch]:
        return examples.batches(epoch, batch_size=training.batch_size, seed=training.seed)

    return training.make_trainer(
        model, training.make_optimizer(model), batches,
        validate=validate, monitor=options.monitor, run=run, tracker=tracker,
        figures=token_figures, unit="tokens", on_progress=on_progress,
    )  # fmt: skip


def training_examples(prepared: Prepared, options: TrainOptions) -> TranslationExamples:
    """The training pairs, without those that are too long or have an empty side."""
    sources, targets = prepared.sources, prepared.targets
    usable = usable_pairs(sources, targets, options.max_tokens)
    if not len(usable):
        raise UserError(
            f"no training pair has between 1 and {options.max_tokens} tokens on both sides. "
            "Raise --max-tokens, or choose another tokenizer."
        )
    if len(usable) < len(sources):
        left_out = len(sources) - len(usable)
        print(f"{left_out:,} pairs are empty or too long and left out", file=sys.stderr)
    for side, corpus in (("source", sources), ("target", targets)):
        if options.text.tokenizer == "words" and corpus.tokens < 1.5 * len(corpus):
            print(
                f"{side}: about one word a line. For a script without blanks between words take "
                "--tokenizer subwords or characters.",
                file=sys.stderr,
            )
    lengths = np.stack([sources.lengths, targets.lengths], 1)
    resample = None
    if options.text.subword_sampling:
        resample = partial(_segment_anew, prepared, options.text.subword_sampling)
    return TranslationExamples(sources, targets, lengths=lengths, usable=usable, resample=resample)


def _segment_anew(
    prepared: Prepared, alpha: float, pair: int, generator: np.random.Generator
) -> tuple[list[int], list[int]]:
    """A pair in subwords that are drawn from the model of each language."""
    drawn = []
    for language, corpus in (
        (prepared.source, prepared.sources),
        (prepared.target, prepared.targets),
    ):
        ids = corpus[pair].tolist()
        if UNK in ids:  # what it stands for is not known here
            drawn.append(ids)
            continue
        text = language.decode(ids)
        pieces = language.tokenizer.sample(text, generator, alpha=alpha)  # type: ignore[attr-defined]
        drawn.append(language.vocabulary.encode(pieces))
    return drawn[0], drawn[1]


def encoded(pairs: Sequence[Pair], source: Language, target: Language) -> TranslationExamples:
    """Pairs of text as examples, for teacher-forced figures; without those that are far too long."""
    every = [(source.encode(pair.source), target.encode(pair.target)) for pair in pairs]
    kept = [pair for pair in every if max(map(len, pair)) <= LONGEST_SCORED]
    if len(kept) < len(every):
        print(
            f"loss and perplexity leave out {len(every) - len(kept):,} of {len(every):,} pairs: they "
            f"have more than {LONGEST_SCORED:,} tokens",
            file=sys.stderr,
        )
    if not kept:
        raise UserError(f"none of the {len(every):,} pairs to be scored is short enough.")
    return TranslationExamples([source for source, _ in kept], [target for _, target in kept])


def load_data(options: TrainOptions) -> ParallelData:
    """The data set of a run."""
    return load(
        options.data,
        options.format,
        source=options.source,
        target=options.target,
        max_problems=options.max_problems,
    )


def evaluate_run(
    folder: Path,
    split: str = "val",
    *,
    ensemble: Sequence[Path] = (),
    data: str | None = None,
    bleu_tokenize: Tokenization | None = None,
    batch_size: int = 64,
    device: str = "auto",
    search: Search | None = None,
    **call: Unpack[Call],
) -> Evaluation:
    """Evaluate a run's best weights on a split of its data, and write the result to its folder.

    Args:
        folder: the run.
        split: val, test, or any other split of the data.
        ensemble: more runs, whose probabilities are averaged with those of the first.
        data: the folder of the data; where the run was trained on it by default.
        bleu_tokenize: how BLEU finds words; as in training by default.
        batch_size: sentences translated at a time.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        search: the strategy; as in training by default.
        call: precision, generator, ...; see `common.models.writer.Call`.

    Raises:
        UserError: a run or the data cannot be used.
    """
    translator = load_ensemble([folder, *ensemble], device)
    call["precision"] = choose_precision(
        call.get("precision", translator.precision), translator.model
    )
    options = Run.open(folder, KIND).read_config(TrainOptions)
    subject = Subject.of_run(
        folder, split, trained_on=options.data, data=data, ensemble=tuple(ensemble),
        search=translator.search.to_dict(), asked=search and search.to_dict(),
        precision=call["precision"],
        others={} if bleu_tokenize is None else {"tok": bleu_tokenize},
    )  # fmt: skip
    options = replace(
        options, data=str(subject.data), bleu_tokenize=bleu_tokenize or options.bleu_tokenize
    )
    check_tokenization(options.scoring()["tokenize"])
    pairs = list(load_data(options).split(split))
    evaluation = evaluate(
        translator, pairs,
        batch_size=batch_size, search=search, **options.scoring(), **call,
    )  # fmt: skip
    examples = encoded(pairs, translator.source, translator.target)
    batches = examples.batches(0, batch_size=batch_size, max_tokens=MAX_READ, shuffle=False)
    evaluation.metrics.update(held_out(translator.model, batches, token_figures))
    # Per token of what? The perplexities of words and of subwords cannot be compared.
    unit = f"per token of {len(translator.target.vocabulary):,} {options.text.tokenizer}"
    evaluation.signatures["perplexity"] = unit
    write_evaluation(folder, subject, evaluation)
    return evaluation
