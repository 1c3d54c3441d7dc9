"""What a model's answers are worth, and pictures of them."""

from common.evaluation.captions import (
    DocumentFrequency,
    bleu,
    cider_d,
    coco_words,
    rouge_l,
    score_captions,
)

__all__ = ["DocumentFrequency", "bleu", "cider_d", "coco_words", "rouge_l", "score_captions"]
