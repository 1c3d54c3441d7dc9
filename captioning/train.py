"""Training a captioner, from a folder of data to a run folder; and evaluating it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn

from captioning.backbone import Backbone
from captioning.captioner import Captioner
from captioning.data import VAL_FRACTION, CaptionData, CaptionedImage, captions_digest, load
from captioning.encoder import ImageEncoder
from captioning.evaluation import SCORES, evaluate, show_captions
from captioning.examples import CaptionExamples
from captioning.inputs import make_inputs, open_features
from captioning.model import build_model, make_transform
from captioning.networks import check_network
from captioning.options import KIND, TrainOptions
from captioning.score import generated_scenes
from common.cli.command_line import check_file
from common.data.damage import Tally
from common.errors import UserError
from common.evaluation.captions import caption_words, coco_words
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.evaluating import Evaluated, evaluate_written, with_teacher_forced, writing_task
from common.models.vocabularies import subwords_of
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
from common.training import session
from common.training.task import Evaluation, Task

FEW_FOR_CIDER = 20  # images, below which CIDEr-D cannot tell rare words from frequent ones


def train(options: TrainOptions, **how: Unpack[session.Watched]) -> Evaluation:
    """Train a captioner and evaluate its best weights on the validation images; see `session.train`."""
    return session.train(
        options, make_task, KIND, **how,
        then="python -m captioning caption RUN PICTURE",
    )  # fmt: skip


def make_task(options: TrainOptions, kept: Kept, device: torch.device) -> Task:
    """What a captioner learns, and how it is judged.

    Raises:
        UserError: the data or the options cannot be used.
    """
    options = options.with_val_fraction(kept, VAL_FRACTION)
    if kept.new:  # before pictures are read, which takes long
        options.text.check_files()
        check_file(options.word_embeddings, "--word-embeddings")
        if options.encoder.features is None and options.encoder.encoder != "small":
            check_network(options.encoder.encoder)

    @cache
    def data() -> CaptionData:
        found = load_data(options)
        found.report()
        return found

    begun = None if kept.run is None else kept.run.read_config(TrainOptions).encoder
    encoder, features = open_features(options.encoder, data(), begun)
    options = replace(options, encoder=encoder)

    @cache
    def examples(model: nn.Module, split: str) -> tuple[CaptionExamples, list[CaptionedImage]]:
        images = data().split(split)
        if split == "val":
            images = images[: options.validation_images]
        return make_examples(captioner_of(model), options, images, split, data().damage["pictures"])

    def captioner_of(model: Any) -> Captioner:
        precision = options.search.precision_of_training(kept.precision)
        search = options.search.strategy()
        return Captioner(model, transform, language, search, precision, features, options.longest)

    language = kept.get_several(
        "", Language, lambda: build_language(data().captioned("train"), options)
    )

    def longest_caption() -> tuple[int, ...]:
        texts = captions_of(data().captioned("train"))
        longest = max(len(language.tokenizer.encode(text)) for text in texts)
        return (min(longest, options.max_words),)

    options = options.with_lengths(kept, longest_caption)
    own = kept.new and not options.takes("encoder")  # what another run's weights do not replace
    weights = options.encoder.weights if own else "none"
    model = kept.build_model(lambda: build_model(options, language.vocabulary, weights)).to(device)
    transform = make_transform(options.encoder)
    if kept.new:
        initialize(model, options, language)
    assert isinstance(model.encoder, ImageEncoder)
    cnn = model.encoder.cnn
    learns_images = cnn is not None and any(each.requires_grad for each in cnn.parameters())

    @cache
    def learnt() -> CaptionExamples:
        check_data(options, data(), kept)
        tiny = options.tiny_notes(options.training, len(data().split("train")), "images")
        notes = text_notes(language, data(), options)
        for note in (*tiny, *notes, *monitor_notes(options, data())):
            warn(note)
        examples(model, "val")  # pictures that cannot be used are refused before training begins
        return examples(model, "train")[0]

    def batches(epoch: int) -> Sequence[Batch]:
        return learnt().batches(
            epoch, batch_size=options.training.batch_size, seed=options.training.seed,
            together=learns_images, per_image=options.captions_per_image,
        )  # fmt: skip

    def evaluate_split(model: EncoderDecoder, split: str, **how: Any) -> Evaluation:
        captioner, (captions, images) = captioner_of(model), examples(model, split)
        shown = images[: options.shown_images]
        evaluation = evaluate(captioner, images, captions.inputs, shown=len(shown), **how)
        if not len(captions):  # there are no references
            return evaluation
        batches = captions.batches(0, batch_size=2 * options.training.batch_size, shuffle=False)
        tokens = f"{len(language.vocabulary):,} ({options.text.tokenizer})"
        return replace(
            with_teacher_forced(evaluation, model, batches, tokens),
            show=lambda tracker: show_captions(tracker, captioner, shown, evaluation.outputs),
        )

    optimizer = options.training.make_optimizer(
        model,
        # A pretrained network that is learnt further has a learning rate of its own.
        slower=list(cnn.parameters()) if isinstance(cnn, Backbone) else (),
        slower_rate=options.encoder.encoder_learning_rate,
    )
    return writing_task(
        options, model, optimizer, batches, evaluate_split, options.monitor,
        SCORES, {"decoder": ("", language)},
    )  # fmt: skip


def evaluate_run(
    folder: Path,
    split: str = "val",
    *,
    images: Path | None = None,
    format: str | None = None,
    features: Path | None = None,
    cache_dir: Path | None = None,
    max_problems: float | None = None,
    encoding: str | None = None,
    **how: Unpack[Evaluated],
) -> Evaluation:
    """Evaluate a run's best weights on the images of a split, and write the result to its folder.

    Args:
        folder: the run.
        split: val, test, or any other split of the data.
        images: the folder of the pictures, if they are elsewhere; data that are named bring their own.
        format: of the data, if it is not recognised.
        features: the folder of features; where the run was trained on it by default.
        cache_dir: of feature caches; that of the user by default.
        max_problems: fraction of the data that may be damaged; as in training by default.
        encoding: of the text files; of other data than those of the training UTF-8 by default.
        how: data, ensemble, search, ...; see `common.models.evaluating.Evaluated`.

    Raises:
        UserError: the run or the data cannot be used.
    """
    changes: dict[str, Any] = {"images": images, "format": format, "encoding": encoding}
    if how.get("data") is None:  # those of the training, but for what is named
        changes = {name: value for name, value in changes.items() if value is not None}
    else:
        changes["val_fraction"] = None  # data that are named have splits of their own
    if features is not None:
        trained = Run.open(folder, KIND).read_config(TrainOptions).encoder
        changes["encoder"] = replace(trained, features=features)
    changes |= {"validation_images": None, "cache_dir": cache_dir}
    if max_problems is not None:
        changes["max_problems"] = max_problems
    return evaluate_written(
        Captioner, TrainOptions, make_task, folder, split, changes=changes, **how
    )


def load_data(options: TrainOptions) -> CaptionData:
    """The data set of a run."""
    data = load(
        options.data, options.format, images=options.images, max_problems=options.max_problems,
        **options.how_to_load(),
    )  # fmt: skip
    if options.val_fraction == 0:
        data.validate_on_training()
    return data


def check_data(options: TrainOptions, data: CaptionData, kept: Kept) -> None:
    """Refuse data that a training cannot use, or that are not those that it was begun with.

    Raises:
        UserError: they cannot be used.
    """
    validation = data.captioned("val")[: options.validation_images]
    if options.monitor == "true_captions" and not generated_scenes(validation):
        raise UserError("--monitor true_captions is of generated scenes; choose another metric.")
    digests = {
        "train": captions_digest(data.captioned("train")),
        "val": captions_digest(validation),
    }
    kept.same("data.json", digests)


def monitor_notes(options: TrainOptions, data: CaptionData) -> Iterator[str]:
    """A line where the monitored metric says little of the validation images."""
    count = len(data.captioned("val")[: options.validation_images])
    if options.monitor == "cider_d" and count < FEW_FOR_CIDER:
        alone = "is always 0 for one image" if count == 1 else "says little for so few"
        yield (
            f"{count} validation images: CIDEr-D weighs words by how rare they are among their "
            f"captions, and {alone}. Of equal scores the lower loss is better; --monitor loss goes "
            "by it alone."
        )


def captions_of(images: Sequence[CaptionedImage]) -> Iterator[str]:
    """All captions of some images."""
    return (text for image in images for text in image.captions)


def build_language(images: Sequence[CaptionedImage], options: TrainOptions) -> Language:
    """The tokens of the training captions; subwords of the run whose weights are taken, if one's are."""
    subwords = None
    if options.init_from is not None and options.takes("decoder"):
        subwords = subwords_of(options.init_from, options.text)
    language = options.text.learn(lambda task: captions_of(images), subwords=subwords)
    say(language.vocabulary.summary("captions"))
    return language


def text_notes(language: Language, data: CaptionData, options: TrainOptions) -> Iterator[str]:
    """What a user should know of the tokenizer: a line for each thing that it does not suit."""
    tokenizer, validation = language.tokenizer, data.captioned("val")[: options.validation_images]
    yield from words_told_apart(tokenizer, captions_of(data.captioned("train")), "captions")
    yield from capitals_unused(tokenizer, "captions")
    references = list(captions_of(validation))
    compared, _ = caption_words(references, tokens=options.text.tokenizer == "whitespace")
    yield from references_reproduced(tokenizer, references, compared, "val")


def make_examples(
    captioner: Captioner,
    options: TrainOptions,
    images: Sequence[CaptionedImage],
    split: str,
    pictures: Tally,
) -> tuple[CaptionExamples, list[CaptionedImage]]:
    """Every caption of a split's images with the inputs of the encoder, and the undamaged images."""
    mirror = options.encoder.mirror and split == "train"
    inputs, usable = make_inputs(
        captioner.encoders, captioner.transform, images,
        cache_dir=options.cache_dir, features=captioner.features, mirror=mirror,
        pictures=pictures, max_damaged=options.max_problems,
    )  # fmt: skip
    encode = captioner.language.tokenizer.encode
    words = [encode(text) for image in usable for text in image.captions]
    if cut := sum(len(sentence) > options.max_words for sentence in words):
        purpose = "" if split == "train" else "; for loss and perplexity alone"
        warn(
            f"{split}: {cut:,} of {len(words):,} captions are longer than {options.max_words} words "
            f"and cut there (--max-words){purpose}"
        )
    words = [sentence[: options.max_words] for sentence in words]
    rows = [row for row, image in enumerate(usable) for _ in image.captions]
    # A mirrored picture makes these two words false.
    texts = captions_of(usable) if mirror else ()
    unsided = [not {"left", "right"} & set(coco_words(text)) for text in texts] if mirror else None
    sentences = [captioner.language.vocabulary.encode(sentence) for sentence in words]
    return CaptionExamples(sentences, rows, inputs, unsided), usable


def initialize(model: EncoderDecoder, options: TrainOptions, language: Language) -> None:
    """Start a new model from what is known of the words: their frequencies, and their embeddings."""
    model.decoder.set_output_bias(torch.tensor(language.vocabulary.counts))
    if options.word_embeddings is not None:
        found = start_from_pretrained(
            model.decoder.embedding,
            options.word_embeddings,
            language.vocabulary,
            lowercase=options.text.folded,
        )
        say(found)
