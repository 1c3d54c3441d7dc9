"""The tokens of a model, and their ids."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from common.data.reading import is_unicode
from common.errors import UserError
from common.files import read_json, write_json

PAD, BOS, EOS, UNK = range(4)
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")

_FORMAT = "unroll.vocabulary"
_VERSION = 1


class Vocabulary:
    """A fixed list of tokens: ids 0 to 3 are `<pad> <bos> <eos> <unk>`, the words follow.

    A word of a text that is spelt like a special token is encoded as `<unk>`.

    Args:
        tokens: the words, without the special tokens, in the order of their ids from 4 on.
        counts: how often each token is a target in the training text, aligned with *all* tokens,
            special ones included; zeros by default.

    Raises:
        ValueError: a word occurs twice, is empty, spelt like a special token, or no Unicode text; or
            the counts are not as many as the tokens, or one is negative or beyond 2^53.
    """

    pad_id, bos_id, eos_id, unk_id = PAD, BOS, EOS, UNK

    def __init__(self, tokens: Sequence[str], counts: Sequence[int] | None = None) -> None:
        self.tokens: tuple[str, ...] = (*SPECIALS, *tokens)
        self._ids = {token: number for number, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            twice = [token for token, n in Counter(self.tokens).items() if n > 1]
            raise ValueError(f"tokens that occur twice: {_excerpt(twice)}")
        if "" in self._ids:
            raise ValueError(f"token {self._ids['']} is empty")
        if not is_unicode("".join(tokens)):
            number = next(n for token, n in self._ids.items() if not is_unicode(token))
            raise ValueError(f"token {number} has a lone surrogate in it")
        for special in SPECIALS:
            del self._ids[special]
        self.counts: tuple[int, ...] = (0,) * len(self.tokens) if counts is None else tuple(counts)
        if len(self.counts) != len(self.tokens):
            raise ValueError(f"{len(self.counts)} counts for {len(self.tokens)} tokens")
        if odd := [n for n, count in enumerate(self.counts) if not 0 <= count <= 1 << 53]:
            raise ValueError(f"token {odd[0]} has a count that is negative or far too large")

    @classmethod
    def build(
        cls,
        sentences: Iterable[Sequence[str]],
        min_count: int = 1,
        max_size: int | None = None,
        always: Iterable[str] = (),
    ) -> Vocabulary:
        """The vocabulary of a training text: most frequent words first, ties in code-point order.

        The counts of `<eos>` and `<unk>` are the number of sentences and of words left out, so that
        all counts add up to the number of targets in training.

        Args:
            sentences: the tokens of each sentence of the *training* split.
            min_count: rarer words are left out.
            max_size: most tokens of the vocabulary, the four special ones included.
            always: tokens that come first and are kept even if the text lacks them.

        Raises:
            ValueError: `max_size` has no room for the special tokens.
        """
        if max_size is not None and max_size < len(SPECIALS):
            raise ValueError(
                f"max_size {max_size} has no room for the {len(SPECIALS)} special tokens"
            )
        counter: Counter[str] = Counter()
        sentence_count = 0
        for words in sentences:
            counter.update(words)
            sentence_count += 1
        total = counter.total()
        stay = set(always)
        counter.update(dict.fromkeys(stay, 0))
        for forbidden in (*SPECIALS, ""):
            del counter[forbidden]
        ranked = sorted(counter.items(), key=lambda item: (item[0] not in stay, -item[1], item[0]))
        room = None if max_size is None else max_size - len(SPECIALS)
        kept = [(word, n) for word, n in ranked if n >= min_count or word in stay][:room]
        unknown = total - sum(count for _, count in kept)
        counts = [0, 0, sentence_count, unknown, *(count for _, count in kept)]
        return cls([word for word, _ in kept], counts)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token, `UNK` for one that the vocabulary lacks; no bos or eos is added."""
        ids = self._ids
        return [ids.get(token, UNK) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens up to the first eos, without pad and bos.

        Args:
            ids: a list, an array or a 1-D tensor of ids.

        Raises:
            ValueError: an id is outside of the vocabulary.
        """
        tokens = []
        for number in map(int, ids):
            if number == EOS:
                break
            if not 0 <= number < len(self.tokens):
                raise ValueError(f"id {number} is outside of a vocabulary of {len(self.tokens)}")
            if number not in (PAD, BOS):
                tokens.append(self.tokens[number])
        return tokens

    def summary(self, name: str) -> str:
        """The coverage of the training text, in one line.

        Args:
            name: of the text.

        Raises:
            UserError: it covers none of it.
        """
        words, unknown = sum(self.counts[len(SPECIALS) :]), self.counts[UNK]
        if not words:
            raise UserError(
                f"{name}: no word is in the vocabulary. Lower --min-count, or give more text."
            )
        covered = words / (words + unknown)
        return f"{name}: a vocabulary of {len(self):,} covers {covered:.1%} of the training text"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON, atomically."""
        value = {"format": _FORMAT, "version": _VERSION}
        write_json(path, {**value, "tokens": list(self.tokens), "counts": list(self.counts)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, is not JSON, is no vocabulary, is inconsistent, or was
                written by a newer version.
        """
        value = read_json(path)
        if not isinstance(value, dict) or value.get("format") != _FORMAT:
            raise UserError(f'{path}: not a vocabulary (no "format": "{_FORMAT}").')
        if value.get("version") != _VERSION:
            raise UserError(
                f"{path}: a vocabulary of format version {value.get('version')!r}; this program reads "
                f"{_VERSION}. Use the version of Unroll that wrote it, or a newer one."
            )
        tokens: Any = value.get("tokens")
        counts: Any = value.get("counts")
        try:
            if not _is_list_of(str, tokens) or not _is_list_of(int, counts):
                raise ValueError('"tokens" must be a list of strings, "counts" of integers')
            if tuple(tokens[: len(SPECIALS)]) != SPECIALS:
                raise ValueError(f"the first tokens must be {' '.join(SPECIALS)}")
            return cls(tokens[len(SPECIALS) :], counts)
        except ValueError as error:
            raise UserError(f"{path}: {error}. Restore the file that the run wrote.") from None

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __contains__(self, token: object) -> bool:
        """Whether the token is a word; special tokens are not."""
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.tokens == other.tokens and self.counts == other.counts

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens: {_excerpt(self.tokens[len(SPECIALS) :])})"


def _is_list_of(kind: type, value: Any) -> bool:
    # Not isinstance: JSON's true is no integer.
    return isinstance(value, list) and all(type(item) is kind for item in value)


def _excerpt(tokens: Sequence[str], most: int = 5) -> str:
    shown = " ".join(repr(token) for token in tokens[:most])
    return shown + (" ..." if len(tokens) > most else "")
