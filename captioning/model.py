"""The network of a captioner, and its transform, as the options of a run describe them."""

from __future__ import annotations

from captioning.backbone import Backbone
from captioning.encoder import ImageEncoder
from captioning.options import EncoderOptions, TrainOptions
from captioning.small_cnn import SmallCNN
from captioning.transform import ImageTransform
from common.models.encoder_decoder import EncoderDecoder
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
        # Also where a resumed run loads its own weights next: it continues as it began.
        adapt = chosen.weights == "none"
        cnn = Backbone(
            chosen.encoder, weights=weights, fine_tune_from=chosen.fine_tune_from,
            train_batch_norm=adapt,
        )  # fmt: skip
    encoder = ImageEncoder(
        cnn, feature_size=chosen.feature_size, attention=options.decoder.attention != "none",
        vector_size=chosen.vector_size, memory_size=chosen.memory_size,
        normalize=chosen.normalize, dropout=chosen.feature_dropout,
        transform=make_transform(chosen),
    )  # fmt: skip
    decoder = options.decoder.build(len(vocabulary), encoder.context_size, encoder.memory_size)
    return options.loss.make_model(encoder, decoder)
