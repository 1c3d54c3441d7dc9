"""Training a captioner, from a folder of data to a run folder; and evaluating it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Unpack

import torch

from captioning.backbone import Backbone
from captioning.captioner import Captioner
from captioning.data import CaptionData, CaptionedImage, captions_digest, load
from captioning.evaluation import Evaluation, evaluate, generated_scenes, write_evaluation
from captioning.examples import CaptionExamples
from captioning.inputs import make_inputs
from captioning.loading import KIND, build_model, load_ensemble, make_transform
from captioning.options import TrainOptions
from captioning.showcase import Showcase
from common.cli.command_line import check_file
from common.compute.precision import choose_precision
from common.config.bounds import check_bounds
from common.config.changes import may_change
from common.decoding.search import Search
from common.errors import UserError
from common.evaluation.subject import Subject
from common.files import write_json
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.tokens import TOKEN_CHARTS, token_figures
from common.models.writer import Call
from common.runs.run import Run
from common.text.embeddings import start_from_pretrained
from common.text.language import Language
from common.text.tokenizer import WordTokenizer
from common.text.vocabulary import Vocabulary
from common.training.tracking import Tracker
from common.training.trainer import OnProgress, Trainer
from common.training.validation import held_out


def train(options: TrainOptions, *, on_progress: OnProgress | None = None) -> Evaluation:
    """Train a captioner and evaluate its best weights on the validation images.

    Args:
        options: of the run.
        on_progress: as `Trainer` takes it.

    Returns:
        The evaluation that is also written to the run folder.

    Raises:
        UserError: the data, the options or the folder cannot be used.
    """
    check_bounds(options)
    options.training.check()
    options.loss.check(options.decoder)
    options.search.strategy()
    continues = Run.continues(options.run_dir, options.resume)
    changeable = set(may_change(options))
    if not continues:
        check_file(options.word_embeddings, "--word-embeddings")
    Run.check(
        options.run_dir, resume=options.resume, overwrite=options.overwrite,
        kind=KIND, config=options, may_change=changeable,
    )  # fmt: skip
    began = Run.open(options.run_dir, KIND).read_config(TrainOptions) if continues else None
    device = options.training.begin()
    data = load_data(options)
    print(data.summary(), file=sys.stderr)
    images = data.split("train")
    validation = data.split("val")[: options.validation_images]
    if options.monitor == "true_captions" and not generated_scenes(validation):
        raise UserError("--monitor true_captions is of generated scenes; choose another metric.")

    tokenizer = WordTokenizer()
    vocabulary = Vocabulary.build(
        (tokenizer.encode(text) for image in images for text in image.captions), options.min_count
    )
    print(vocabulary.summary("captions"), file=sys.stderr)
    model = build_model(options, vocabulary, weights=options.encoder.weights).to(device)
    training = options.training.settle_precision(model, began.training if began else None)
    options = replace(options, training=training)
    model.decoder.set_output_bias(torch.tensor(vocabulary.counts))
    if options.word_embeddings is not None and not continues:
        embedding = model.decoder.embedding
        said = start_from_pretrained(embedding, options.word_embeddings, vocabulary, lowercase=True)
        print(said, file=sys.stderr)
    captioner = Captioner(
        model,
        make_transform(options.encoder),
        Language(tokenizer, vocabulary),
        options.search.strategy(),
        options.search.precision_of_training(training.precision),
    )
    # All that may refuse the data or the options comes before the folder, which may hold a run.
    digests = {"train": captions_digest(images), "val": captions_digest(validation)}
    examples, _ = make_examples(captioner, options, images, mirror=options.encoder.mirror)
    checks, validation = make_examples(captioner, options, validation)
    kept = dict(captioner.language.files())
    kept["data.json"] = partial(write_json, value=digests)
    run = Run.create(
        options.run_dir, KIND, options,
        resume=options.resume, overwrite=options.overwrite, may_change=changeable, keep=kept,
    )  # fmt: skip

    with Tracker(run.path, charts=TOKEN_CHARTS) as tracker:
        tracker.configuration(asdict(options))
        trainer = make_trainer(
            captioner, options, examples, checks, validation, run, tracker, on_progress
        )
        trainer.fit()
    captioner.model.eval()
    evaluation = evaluate(captioner, validation, checks.inputs)
    own = Path(options.data)
    search = captioner.search.to_dict()
    subject = Subject("val", own, own, search=search, precision=captioner.precision)
    write_evaluation(run.path, subject, evaluation, validation)
    return evaluation


def make_trainer(
    captioner: Captioner,
    options: TrainOptions,
    examples: CaptionExamples,
    checks: CaptionExamples,
    validation: Sequence[CaptionedImage],
    run: Run,
    tracker: Tracker,
    on_progress: OnProgress | None = None,
) -> Trainer:
    """The trainer of a captioner: what it learns from, and what it reports after each epoch."""
    training, model = options.training, captioner.model
    assert isinstance(model, EncoderDecoder)
    attention = model.decoder.attention is not None
    showcase = Showcase(captioner, validation[: options.shown_images], tracker, attention=attention)

    def validate() -> dict[str, float]:
        evaluation = evaluate(captioner, validation, checks.inputs, description="validation")
        showcase.show(evaluation.captions)
        batches = checks.batches(0, batch_size=2 * training.batch_size, shuffle=False)
        return held_out(model, batches, token_figures) | evaluation.metrics

    (encoder,) = captioner.encoders
    learnt = encoder.cnn is not None and any(p.requires_grad for p in encoder.cnn.parameters())

    def batches(epoch: int) -> Sequence[Batch]:
        return examples.batches(
            epoch, batch_size=training.batch_size, seed=training.seed, together=learnt,
            per_image=options.captions_per_image,
        )  # fmt: skip

    slower = encoder.cnn.parameters() if isinstance(encoder.cnn, Backbone) else ()
    optimizer = training.make_optimizer(
        model, slower=list(slower), slower_rate=options.encoder.encoder_learning_rate
    )
    return training.make_trainer(
        model, optimizer, batches,
        validate=validate, monitor=options.monitor, run=run, tracker=tracker,
        figures=token_figures, unit="tokens", on_progress=on_progress,
    )  # fmt: skip


def make_examples(
    captioner: Captioner,
    options: TrainOptions,
    images: Sequence[CaptionedImage],
    mirror: bool = False,
) -> tuple[CaptionExamples, list[CaptionedImage]]:
    """Every caption of some images with the inputs of the encoder, and the images without damage."""
    inputs, usable = make_inputs(
        captioner.encoders, captioner.transform, images,
        folder=options.cache_dir, mirror=mirror, max_damaged=options.max_problems,
    )  # fmt: skip
    words = [
        captioner.language.tokenizer.encode(text)[: options.max_words]
        for image in usable
        for text in image.captions
    ]
    rows = [row for row, image in enumerate(usable) for _ in image.captions]
    # A mirrored picture makes these two words false.
    unsided = [not {"left", "right"} & set(sentence) for sentence in words] if mirror else None
    sentences = [captioner.language.vocabulary.encode(sentence) for sentence in words]
    return CaptionExamples(sentences, rows, inputs, unsided), usable


def load_data(options: TrainOptions) -> CaptionData:
    """The data set of a run."""
    return load(
        options.data,
        options.format,
        images=options.images,
        max_problems=options.max_problems,
    )


def evaluate_run(
    folder: Path,
    split: str = "val",
    *,
    ensemble: Sequence[Path] = (),
    data: str | None = None,
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
        batch_size: images described at a time.
        device: cpu, cuda, ...; auto takes a GPU if there is one.
        search: the strategy; as in training by default.
        call: precision, generator, ...; see `common.models.writer.Call`.

    Raises:
        UserError: the run or the data cannot be used.
    """
    captioner = load_ensemble([folder, *ensemble], device)
    call["precision"] = choose_precision(
        call.get("precision", captioner.precision), captioner.model
    )
    options = Run.open(folder, KIND).read_config(TrainOptions)
    subject = Subject.of_run(
        folder, split, trained_on=options.data, data=data, ensemble=tuple(ensemble),
        search=captioner.search.to_dict(), asked=search and search.to_dict(),
        precision=call["precision"],
    )  # fmt: skip
    options = replace(options, data=str(subject.data))
    examples, images = make_examples(captioner, options, load_data(options).split(split))
    evaluation = evaluate(
        captioner, images, examples.inputs,
        batch_size=batch_size, search=search, **call,
    )  # fmt: skip
    batches = examples.batches(0, batch_size=batch_size, shuffle=False)
    evaluation.metrics.update(held_out(captioner.model, batches, token_figures))
    write_evaluation(folder, subject, evaluation, images)
    return evaluation
