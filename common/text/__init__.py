"""From text to numbers and back: tokenizers and the vocabulary."""

from common.text.corpus import Corpus, write_corpus
from common.text.embeddings import PretrainedEmbeddings, read_embeddings
from common.text.language import Language
from common.text.subword import SubwordTokenizer
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
    "Corpus",
    "Language",
    "PretrainedEmbeddings",
    "SubwordTokenizer",
    "Tokenizer",
    "Vocabulary",
    "WordTokenizer",
    "read_embeddings",
    "tokenizer_from_dict",
    "write_corpus",
]
