"""Metrics of captions and translations, and pictures of results."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.evaluation.captions import (
        DocumentFrequency as DocumentFrequency,
        bleu as bleu,
        caption_words as caption_words,
        cider_d as cider_d,
        coco_words as coco_words,
        rouge_l as rouge_l,
        score_captions as score_captions,
    )
    from common.evaluation.translation import (
        TranslationScores as TranslationScores,
        score_translations as score_translations,
    )

__all__, __getattr__ = handing_on(__name__, __file__)
