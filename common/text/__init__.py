"""From text to numbers and back: tokenizers and the vocabulary."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.text.embeddings import read_embeddings as read_embeddings
    from common.text.labels import Labels as Labels
    from common.text.language import Language as Language
    from common.text.spelling import (
        with_pairs as with_pairs,
        word_features as word_features,
    )
    from common.text.subword import SubwordTokenizer as SubwordTokenizer
    from common.text.tokenizer import (
        CharacterTokenizer as CharacterTokenizer,
        Tokenizer as Tokenizer,
        WhitespaceTokenizer as WhitespaceTokenizer,
        WordTokenizer as WordTokenizer,
        tokenizer_from_dict as tokenizer_from_dict,
    )
    from common.text.vocabulary import (
        BOS as BOS,
        EOS as EOS,
        PAD as PAD,
        SPECIALS as SPECIALS,
        UNK as UNK,
        Vocabulary as Vocabulary,
    )

__all__, __getattr__ = handing_on(__name__, __file__)
