"""Generated sentences, English and Korean: of each, exactly one translation is right."""

from seq2seq.phrases.dataset import write_phrases
from seq2seq.phrases.oracle import translate
from seq2seq.phrases.sampling import SPLITS, available, phrases

__all__ = ["SPLITS", "available", "phrases", "translate", "write_phrases"]
