"""What is trained, and what writes with it."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.models.clip_model import (
        ClipBatch as ClipBatch,
        ClipEncoder as ClipEncoder,
        ClipModel as ClipModel,
        ClipNames as ClipNames,
    )
    from common.models.encoder_decoder import (
        Batch as Batch,
        EncoderDecoder as EncoderDecoder,
    )
    from common.models.ensemble import EnsembleModel as EnsembleModel
    from common.models.fold import Fold as Fold
    from common.models.forecaster import (
        Forecaster as Forecaster,
        SeriesBatch as SeriesBatch,
    )
    from common.models.language_model import (
        LanguageModel as LanguageModel,
        Prefix as Prefix,
    )
    from common.models.likelihood import Likelihood as Likelihood
    from common.models.naive_bayes import NaiveBayes as NaiveBayes
    from common.models.nearest import (
        NearestText as NearestText,
        nearest_targets as nearest_targets,
    )
    from common.models.ridge import Ridge as Ridge
    from common.models.sequence_classifier import (
        ClassifiedBatch as ClassifiedBatch,
        SequenceClassifier as SequenceClassifier,
    )
    from common.models.sequence_tagger import (
        SequenceTagger as SequenceTagger,
        TaggedBatch as TaggedBatch,
    )
    from common.models.side_by_side import SideBySide as SideBySide
    from common.models.text_batches import TextBatch as TextBatch
    from common.models.text_writer import TextWriter as TextWriter
    from common.models.tokens import (
        TOKEN_CHARTS as TOKEN_CHARTS,
        token_figures as token_figures,
        token_loss as token_loss,
    )
    from common.models.writer import (
        Sentence as Sentence,
        Writer as Writer,
    )

__all__, __getattr__ = handing_on(__name__, __file__)
