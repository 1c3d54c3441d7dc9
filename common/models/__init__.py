"""What is trained, and what writes with it."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.models.clip_model import ClipBatch, ClipEncoder, ClipModel, ClipNames
    from common.models.encoder_decoder import Batch, EncoderDecoder
    from common.models.ensemble import EnsembleModel
    from common.models.fold import Fold
    from common.models.forecaster import Forecaster, SeriesBatch
    from common.models.language_model import LanguageModel, Prefix
    from common.models.likelihood import Likelihood
    from common.models.naive_bayes import NaiveBayes
    from common.models.nearest import NearestText, nearest_targets
    from common.models.ridge import Ridge
    from common.models.sequence_classifier import ClassifiedBatch, SequenceClassifier
    from common.models.sequence_tagger import SequenceTagger, TaggedBatch
    from common.models.side_by_side import SideBySide
    from common.models.text_batches import TextBatch
    from common.models.text_writer import TextWriter
    from common.models.tokens import TOKEN_CHARTS, token_figures, token_loss
    from common.models.writer import Sentence, Writer

__all__, __getattr__ = handing_on(__name__, __file__)
