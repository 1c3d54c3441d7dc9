"""What a model's answers are worth, and pictures of them."""

from common.evaluation.captions import (
    DocumentFrequency,
    bleu,
    cider_d,
    coco_words,
    rouge_l,
    score_captions,
)
from common.evaluation.translation import TranslationScores, score_translations

__all__ = [
    "DocumentFrequency",
    "TranslationScores",
    "bleu",
    "cider_d",
    "coco_words",
    "rouge_l",
    "score_captions",
    "score_translations",
]
