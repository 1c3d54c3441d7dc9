"""From text to numbers and back: tokenizers and the vocabulary."""

from common.text.tokenizer import (
    CharacterTokenizer,
    Tokenizer,
    WordTokenizer,
    tokenizer_from_dict,
)
from common.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "SPECIALS",
    "UNK",
    "CharacterTokenizer",
    "Tokenizer",
    "Vocabulary",
    "WordTokenizer",
    "tokenizer_from_dict",
]
