"""A captioner from its options, and from the folder of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from captioning.backbone import Backbone
from captioning.captioner import Captioner
from captioning.encoder import ImageEncoder
from captioning.features import FeatureFolder
from captioning.inputs import check_features
from captioning.options import KIND, EncoderOptions, TrainOptions
from captioning.small_cnn import SmallCNN
from captioning.transform import ImageTransform
from common.compute.device import choose_device
from common.errors import UserError
from common.models.encoder_decoder import EncoderDecoder
from common.models.ensemble import EnsembleModel
from common.runs.run import Run
from common.text.language import Language
from common.text.vocabulary import Vocabulary


def make_transform(options: EncoderOptions) -> ImageTransform:
    """From a picture to the network's input."""
    return ImageTransform(options.image_size, options.fit)


def build_model(options: TrainOptions, vocabulary: Vocabulary, weights: str) -> EncoderDecoder:
    """The network of these options.

    Args:
        options: of the run.
        vocabulary: the words it writes.
        weights: of the image network; "none" where a run's own weights are loaded next.
    """
    chosen = options.encoder
    cnn: Backbone | SmallCNN | None = None
    if chosen.feature_size is None and chosen.encoder == "small":
        cnn = SmallCNN()
    elif chosen.feature_size is None:
        cnn = Backbone(chosen.encoder, weights=weights, fine_tune_from=chosen.fine_tune_from)
    encoder = ImageEncoder(
        cnn,
        feature_size=chosen.feature_size,
        attention=options.decoder.attention != "none",
        vector_size=chosen.vector_size,
        memory_size=chosen.memory_size,
        normalize=chosen.normalize,
        dropout=chosen.feature_dropout,
        transform=make_transform(chosen),
    )
    decoder = options.decoder.build(len(vocabulary), encoder.context_size, encoder.memory_size)
    return options.loss.make_model(encoder, decoder)


def load_captioner(folder: Path, device: str = "auto") -> Captioner:
    """The captioner of a run folder; see `Captioner.from_run`."""
    run = Run.open(folder, KIND)
    options = run.read_config(TrainOptions)
    language = Language.load(run.existing)
    model = build_model(options, language.vocabulary, weights="none")
    run.load_model(model)
    return Captioner(
        model.to(choose_device(device)),
        make_transform(options.encoder),
        language,
        options.search.strategy(),
        options.search.search_precision,
    )


def load_ensemble(
    folders: Sequence[Path],
    device: str = "auto",
    features: str | os.PathLike[str] | None = None,
) -> Captioner:
    """The captioner of several run folders together; see `Captioner.from_run`."""
    members = [load_captioner(folder, device) for folder in folders]
    first = members[0]
    for folder, member in zip(folders, members, strict=True):
        if (
            member.language.vocabulary.tokens != first.language.vocabulary.tokens
            or member.transform != first.transform
        ):
            raise UserError(
                f"{folder} has other words, or sees pictures otherwise, than {folders[0]}: an "
                "ensemble needs runs of the same data, --min-count, --image-size and --fit."
            )
    if len(members) > 1:
        models = [m.model for m in members if isinstance(m.model, EncoderDecoder)]
        first = Captioner(
            EnsembleModel(models), first.transform, first.language, first.search, first.precision
        )
    if features is not None:
        first.features = FeatureFolder(features)
        check_features(first.features, first.encoders)
    return first
