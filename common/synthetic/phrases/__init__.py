"""Generated English sentences, each with its only correct Korean translation."""

from common.synthetic.phrases.dataset import write_phrases
from common.synthetic.phrases.oracle import translate
from common.synthetic.phrases.sampling import SPLITS, available, phrases

__all__ = ["SPLITS", "available", "phrases", "translate", "write_phrases"]
