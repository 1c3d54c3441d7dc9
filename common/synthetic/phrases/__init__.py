"""Generated sentences, English and Korean: of each, exactly one translation is right."""

from common.synthetic.phrases.dataset import write_phrases
from common.synthetic.phrases.oracle import translate
from common.synthetic.phrases.sampling import SPLITS, available, phrases

__all__ = ["SPLITS", "available", "phrases", "translate", "write_phrases"]
