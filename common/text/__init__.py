"""From text to numbers and back: tokenizers and the vocabulary."""

from common.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

__all__ = ["BOS", "EOS", "PAD", "SPECIALS", "UNK", "Vocabulary"]
