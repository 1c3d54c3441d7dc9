"""Metrics of captions and translations, and pictures of results."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.evaluation.captions import (
        DocumentFrequency,
        bleu,
        caption_words,
        cider_d,
        coco_words,
        rouge_l,
        score_captions,
    )
    from common.evaluation.translation import TranslationScores, score_translations

__all__, __getattr__ = handing_on(__name__, __file__)
