"""Sentence in, sentence out."""

from seq2seq.translator import Translation, Translator

__all__ = ["Translation", "Translator"]
