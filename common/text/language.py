"""A tokenizer with its vocabulary: text to token ids and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.files import read_json, write_json
from common.text.subword import SubwordTokenizer
from common.text.tokenizer import Tokenizer, tokenizer_from_dict
from common.text.vocabulary import SPECIALS, UNK, Vocabulary


@dataclass(frozen=True)
class Language:
    """A tokenizer and the vocabulary of its tokens.

    Args:
        tokenizer: splits a text into tokens, and joins them.
        vocabulary: numbers the tokens.
    """

    tokenizer: Tokenizer
    vocabulary: Vocabulary

    @classmethod
    def of_pieces(cls, tokenizer: SubwordTokenizer, texts: Iterable[str]) -> Language:
        """A subword model that is given, with those of its pieces that occur in a training text.

        Any other piece would keep an embedding that nothing has trained. A character that the model
        lacks is unknown, however often it occurs.
        """
        known = frozenset(tokenizer.pieces)
        tokens = ([t if t in known else SPECIALS[UNK] for t in tokenizer.encode(s)] for s in texts)
        return cls(tokenizer, Vocabulary.build(tokens))

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, without start and end token."""
        return self.vocabulary.encode(self.tokenizer.encode(text))

    def unknown(self, text: str) -> list[str]:
        """The tokens of a text that the vocabulary lacks, each once."""
        tokens = dict.fromkeys(self.tokenizer.encode(text))
        return [token for token in tokens if token not in self.vocabulary]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, detokenized."""
        return self.tokenizer.decode(self.vocabulary.decode(list(ids)))

    def files(self, name: str = "") -> Iterator[tuple[str, Callable[[Path], None]]]:
        """The names of the files to save, each with the function that writes it to a path."""
        yield f"{name}tokenizer.json", lambda path: write_json(path, self.tokenizer.to_dict())
        yield f"{name}vocabulary.json", self.vocabulary.save

    def save(self, folder: Path, name: str = "") -> None:
        """Write NAMEtokenizer.json and NAMEvocabulary.json to a folder."""
        for file, write in self.files(name):
            write(folder / file)

    @classmethod
    def load(cls, locate: Callable[[str], Path], name: str = "") -> Language:
        """Read what `save` wrote.

        Args:
            locate: from the name of a file to its path: `folder.joinpath`, or `run.existing`.
            name: what the files' names begin with.

        Raises:
            UserError: a file is missing, damaged or of a newer version.
        """
        path = locate(f"{name}tokenizer.json")
        tokenizer = tokenizer_from_dict(read_json(path), str(path))
        return cls(tokenizer, Vocabulary.load(locate(f"{name}vocabulary.json")))
