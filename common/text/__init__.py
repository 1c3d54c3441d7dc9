"""From text to numbers and back: tokenizers and the vocabulary."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.text.embeddings import read_embeddings
    from common.text.labels import Labels
    from common.text.language import Language
    from common.text.spelling import with_pairs, word_features
    from common.text.subword import SubwordTokenizer
    from common.text.tokenizer import (
        CharacterTokenizer,
        Tokenizer,
        WhitespaceTokenizer,
        WordTokenizer,
        tokenizer_from_dict,
    )
    from common.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

__all__, __getattr__ = handing_on(__name__, __file__)
