"""What a command line lets a user choose about text: how it becomes tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from common.config.bounds import Bounds, Positive
from common.config.marks import Metavar
from common.errors import UserError

if TYPE_CHECKING:
    from common.text.language import Language
    from common.text.subword import SubwordTokenizer
    from common.text.tokenizer import Tokenizer

SUBWORDS = 8000  # that are learnt, where nobody says how many
SUBWORD_KINDS = ("bpe", "unigram")


@dataclass(frozen=True)
class TextOptions:
    """How text becomes the tokens that the model reads and writes."""

    tokenizer: Literal["words", "characters", "subwords", "whitespace"] = "words"
    """Words (in translation with punctuation), characters, SentencePiece subwords that are learnt from
    the training text, or what stands between blanks (whitespace): for text that is tokens already, as
    formulas are, which stays as it is. Scripts without blanks need subwords or characters."""
    lowercase: bool = True
    """Fold to lower case, but for whitespace, which changes nothing; translations are then scored in
    lower case, as their signatures record."""
    min_count: Positive = 2
    """Fewest times that a word must occur in the training text; rarer ones are unknown."""
    vocabulary_size: Annotated[int | None, Bounds(5)] = None
    """Most words of a vocabulary, all by default; or the number of subwords that are learnt, 8,000 by
    default."""
    subword_model: Annotated[str, Metavar("bpe|unigram|FILE")] = "bpe"
    """How subwords are learnt: byte-pair encoding or a unigram language model. Or a SentencePiece model
    (.model) of your own, which the run keeps: the vocabulary is then its pieces in the training text."""

    @property
    def folded(self) -> bool:
        """Whether text is folded to lower case."""
        return self.lowercase and self.tokenizer != "whitespace"

    @property
    def names_model(self) -> bool:
        """Whether a SentencePiece model is given, and none is learnt."""
        return self.subword_model not in SUBWORD_KINDS

    @property
    def subword_files(self) -> dict[str, Path]:
        """The SentencePiece models that are given, by their options."""
        return {"--subword-model": Path(self.subword_model)} if self.names_model else {}

    def check_files(self) -> None:
        """Refuse SentencePiece models that cannot be used, by a `UserError`, before text is read."""
        from common.text.subword import SubwordTokenizer

        for option, path in self.subword_files.items():
            if self.tokenizer != "subwords":
                raise UserError(f"{option} {path} is for --tokenizer subwords.")
            if not path.is_file():
                kinds = f", or {' or '.join(SUBWORD_KINDS)}" if option == "--subword-model" else ""
                raise UserError(f"{option} {path}: there is no such file. Name a model{kinds}.")
            SubwordTokenizer.read(path)

    def given_model(self) -> SubwordTokenizer | None:
        """The SentencePiece model that is given, read from its file; None where subwords are learnt."""
        from common.text.subword import SubwordTokenizer

        if self.tokenizer != "subwords" or not self.names_model:
            return None
        return SubwordTokenizer.read(Path(self.subword_model), lowercase=self.folded)

    def learn(
        self,
        texts: Callable[[str], Iterable[str]],
        *,
        punctuation: bool = False,
        subwords: SubwordTokenizer | None = None,
    ) -> Language:
        """The tokenizer of these options, and the vocabulary of a training text.

        Args:
            texts: gives its sentences anew for each thing that is learnt from them, by its name.
            punctuation: whether punctuation is among the words.
            subwords: taken in the place of learnt ones, or `given_model` if it has been read already;
                what they cannot write is tokens besides.

        Raises:
            UserError: the text is too small for the subwords, or has too many characters.
        """
        from common.text.language import Language
        from common.text.subword import SubwordTokenizer
        from common.text.tokenizer import CharacterTokenizer, WhitespaceTokenizer, WordTokenizer
        from common.text.vocabulary import Vocabulary

        if subwords is None:
            self.check_files()
        # Every character and subword is kept, however rare: without it, its text could not be written.
        # Some subwords are only steps to longer ones; rare words need them.
        always: tuple[str, ...] = ()
        least, most = 1, self.vocabulary_size
        tokenizer: Tokenizer
        if self.tokenizer == "characters":
            tokenizer, most = CharacterTokenizer(lowercase=self.folded), None
        elif self.tokenizer == "subwords":
            subwords = subwords or self.given_model()
            if subwords is not None and self.names_model:
                return Language.of_pieces(subwords, texts("vocabulary"))
            most = SUBWORDS if most is None else most
            tokenizer = subwords or SubwordTokenizer.train(
                texts("subwords"),
                most,
                kind=self.subword_model,  # type: ignore[arg-type]
                lowercase=self.folded,
            )
            most = most if subwords is None else None
            always = tokenizer.pieces
        else:
            least, tokenizer = self.min_count, WhitespaceTokenizer()
            if self.tokenizer == "words":
                tokenizer = WordTokenizer(lowercase=self.folded, punctuation=punctuation)
        tokens = map(tokenizer.encode, texts("vocabulary"))
        return Language(tokenizer, Vocabulary.build(tokens, least, most, always))
