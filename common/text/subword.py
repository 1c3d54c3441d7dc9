"""Subwords: pieces of words, learnt from text, so that no word is unknown."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import random
import re
import unicodedata
from array import array
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import exp
from typing import Any, Literal

import numpy as np
import sentencepiece

from common.errors import UserError
from common.text.vocabulary import SPECIALS

SubwordModel = Literal["bpe", "unigram"]
SPACE = "\u2581"  # SentencePiece's sign for a blank

# Longer lines are cut, since SentencePiece ignores those of more than 4192 bytes.
_LONGEST_LINE = 1000
_LONGEST_WORD = 60  # longer words are not sampled: the time grows with the square of the length
_CACHED_WORDS = 1 << 14  # of about 6 kB each
# Not an option: with another number of threads the sums, and so the pieces, differ slightly.
_THREADS = 4


class SubwordTokenizer:
    """The pieces of a SentencePiece model (Kudo and Richardson 2018).

        A wheelchair.   ->   \u2581A \u2581wheel chair .

    A text is normalized by NFC only: letters keep their width and ligatures, which SentencePiece's
    default (NFKC) would change. A run of blanks, tabs and line ends becomes one blank; invisible
    characters are dropped; U+2581, which represents a blank, becomes `_`. Otherwise `decode` inverts
    `encode`. A character that is not in the model is a piece of its own. `<s>` and the like are
    ordinary text.

    For two languages with one vocabulary, train one tokenizer on the texts of both.

    Args:
        model: a SentencePiece model, as the bytes of its file.
        lowercase: fold to lower case.

    Raises:
        ValueError: the bytes are no model.
    """

    def __init__(self, model: bytes, *, lowercase: bool = False) -> None:
        self.model = model
        self.lowercase = lowercase
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            # It would accept no bytes at all as an empty model.
            if not model or not self._processor.LoadFromSerializedProto(model):
                raise RuntimeError
        except RuntimeError:
            raise ValueError("these bytes are no SentencePiece model") from None
        self._segmentations = functools.lru_cache(_CACHED_WORDS)(self._find_segmentations)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        *,
        kind: SubwordModel = "bpe",
        lowercase: bool = False,
        max_texts: int = 1_000_000,
        seed: int = 0,
    ) -> SubwordTokenizer:
        """Learn the pieces of a text, deterministically.

        Args:
            texts: the sentences of the *training* split; iterated once.
            vocabulary_size: most tokens of a `Vocabulary` of the pieces, the special ones included.
                A small text has fewer.
            kind: byte-pair encoding (Sennrich et al. 2016), or a unigram language model (Kudo
                2018).
            lowercase: fold to lower case.
            max_texts: most texts to learn from, and to hold in memory; of more, a random sample.
            seed: of this sample.

        Raises:
            UserError: the text is empty, or has more different characters than the vocabulary.
            ValueError: there is no such kind.
        """
        if kind not in ("bpe", "unigram"):
            raise ValueError(f"kind must be bpe or unigram, not {kind!r}")
        lines = _sample(texts, max_texts, seed)
        clean = (_normalised(line, lowercase) for line in lines)
        parts = (
            line[start : start + _LONGEST_LINE]
            for line in clean
            for start in range(0, len(line), _LONGEST_LINE)
        )
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=parts,
                model_writer=model,
                model_type=kind,
                # SentencePiece counts a token for unknown characters, and so does a Vocabulary.
                vocab_size=max(1, vocabulary_size - len(SPECIALS) + 1),
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=_THREADS,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise _training_error(str(error), vocabulary_size) from None
        return cls(model.getvalue(), lowercase=lowercase)

    @functools.cached_property
    def kind(self) -> SubwordModel:
        """How the pieces were learnt, and so how a text is segmented."""
        try:
            self._processor.NBestEncodeAsPieces("a", 1)
        except RuntimeError:
            return "bpe"
        return "unigram"

    @functools.cached_property
    def pieces(self) -> tuple[str, ...]:
        """All pieces, best or most frequent first, without the unknown piece."""
        return tuple(self._scores)

    @functools.cached_property
    def _scores(self) -> dict[str, float]:
        """The score of each piece: its log-probability (unigram), or minus its rank (BPE)."""
        model = self._processor
        return {model.IdToPiece(n): model.GetScore(n) for n in range(1, model.GetPieceSize())}

    @functools.cached_property
    def _unknown_score(self) -> float:
        """The score of an unknown character in a unigram model, as in SentencePiece."""
        return min(self._scores.values(), default=0.0) - 10

    def encode(self, text: str) -> list[str]:
        """The best pieces of a text."""
        return self._processor.EncodeAsPieces(_normalised(text, self.lowercase))

    def decode(self, tokens: Sequence[str]) -> str:
        """The text of pieces; any sequence of them is valid."""
        return " ".join("".join(tokens).replace(SPACE, " ").split())

    def sample(
        self, text: str, generator: np.random.Generator, alpha: float = 0.2, n_best: int = 64
    ) -> list[str]:
        """A sampled segmentation of a text: subword regularisation.

        Unigram (Kudo 2018, section 3.3): a segmentation of probability P is sampled with probability
        proportional to P^alpha. No piece spans a blank, so each word is sampled independently, from
        its own `n_best` segmentations, which are cached.
        BPE (BPE-dropout, Provilkov et al. 2020): at each step each merge is skipped with probability
        `alpha`.

        Args:
            text: as for `encode`.
            generator: source of all random numbers; the same state gives the same pieces.
            alpha: unigram: 0 samples uniformly, a large value nearly always gives the best. BPE: 0
                gives the best pieces, 1 characters; the paper uses 0.1. At 0.2 German sentences have
                25 % (unigram) or 40 % (BPE) more pieces than in their best segmentation.
            n_best: unigram: segmentations of each word to sample from.

        Raises:
            ValueError: alpha is negative, or for BPE above 1.
        """
        if alpha < 0 or (self.kind == "bpe" and alpha > 1):
            raise ValueError(f"alpha {alpha} is outside of its range")
        words = _normalised(text, self.lowercase).split()
        if self.kind == "bpe":
            # Python's generator is ten times as fast for one number at a time.
            chance = random.Random(int(generator.integers(1 << 62))).random
            return [piece for word in words for piece in self._merge(word, alpha, chance)]
        sampled: list[str] = []
        for word, number in zip(words, generator.random(len(words)).tolist(), strict=True):
            segmentations, summed = self._segmentations(word, alpha, n_best)
            place = bisect(summed, number * summed[-1], 0, len(summed) - 1)
            sampled += segmentations[place].split(" ")
        return sampled

    def _find_segmentations(
        self, word: str, alpha: float, n_best: int
    ) -> tuple[list[str], array[float]]:
        """The segmentations of a word, best first, and the cumulative sum of their weights.

        The pieces of a segmentation are separated by blanks: a string takes a tenth of the memory of
        a list.
        """
        found = self._processor.NBestEncodeAsPieces(
            word, n_best if len(word) <= _LONGEST_WORD else 1
        )
        scores, unknown = self._scores, self._unknown_score
        totals = [sum(scores.get(piece, unknown) for piece in pieces) for pieces in found]
        weights = (exp(alpha * (total - totals[0])) for total in totals)
        return [" ".join(pieces) for pieces in found], array("d", accumulate(weights))

    def _merge(self, word: str, dropout: float, chance: Callable[[], float]) -> list[str]:
        """The pieces of a word by byte-pair encoding, with merges dropped at random."""
        if len(word) > _LONGEST_WORD:
            return self._processor.EncodeAsPieces(word)
        scores, symbols = self._scores, [SPACE, *word]
        while True:
            best, place = -float("inf"), -1
            for index in range(len(symbols) - 1):
                score = scores.get(symbols[index] + symbols[index + 1])
                if score is not None and score > best and chance() >= dropout:
                    best, place = score, index
            if place < 0:
                return symbols
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON for `tokenizer_from_dict`, with the model as base64."""
        return {
            "kind": "subword",
            "lowercase": self.lowercase,
            "model": base64.b64encode(self.model).decode(),
            "sha256": hashlib.sha256(self.model).hexdigest(),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> SubwordTokenizer:
        """The tokenizer of `to_dict`.

        Raises:
            ValueError: the model is damaged.
            TypeError: an option is missing, unknown or of another type.
        """
        types = {"kind": str, "lowercase": bool, "model": str, "sha256": str}
        if {name: type(option) for name, option in value.items()} != types:
            raise TypeError("lowercase must be true or false, model and sha256 text, and no others")
        try:
            model = base64.b64decode(value["model"], validate=True)
        except binascii.Error:
            model = b""
        # SentencePiece accepts some truncated models.
        if hashlib.sha256(model).hexdigest() != value["sha256"]:
            raise ValueError("the model is damaged (its sha256 differs)")
        return cls(model, lowercase=value["lowercase"])

    def __reduce__(self) -> tuple[Any, ...]:
        return SubwordTokenizer.from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        return f"SubwordTokenizer({self.kind}, {len(self.pieces)} pieces)"


def _sample(texts: Iterable[str], size: int, seed: int) -> list[str]:
    """All texts, or a uniform sample of `size` of them (reservoir sampling)."""
    kept: list[str] = []
    draw = random.Random(seed).random
    for number, text in enumerate(texts):
        if number < size:
            kept.append(text)
        else:
            place = int(draw() * (number + 1))
            if place < size:
                kept[place] = text
    return kept


def _training_error(message: str, vocabulary_size: int) -> UserError:
    """The error for a message of SentencePiece's trainer."""
    sizes = re.search(r"(\d+) vs (\d+)\. Increase vocab_size", message)
    if sizes is None:
        reason = "it is empty" if "sentences_.empty()" in message else message.strip()
        return UserError(f"no subwords can be learnt from the text: {reason}.")
    least = int(sizes[2]) + len(SPECIALS) - 1
    return UserError(
        f"{vocabulary_size:,} subwords have no room for the different characters of the text. "
        f"Choose at least {least:,}."
    )


def _normalised(text: str, lowercase: bool) -> str:
    """NFC, without invisible characters, with one blank between words."""
    # Before NFC, since lower case can decompose a letter.
    text = text.lower() if lowercase else text
    if not text.isprintable():  # rare, and quick to test
        text = text.translate(INVISIBLE)
    return " ".join(unicodedata.normalize("NFC", text).replace(SPACE, "_").split())


# Without control and invisible characters; a lone surrogate becomes U+FFFD.
INVISIBLE: dict[int, str | None] = {
    **dict.fromkeys(
        code for code in range(0xA0) if chr(code) != " " and not chr(code).isprintable()
    ),
    **dict.fromkeys(map(ord, "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"), " "),
    **dict.fromkeys([0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, 0xFEFF]),
    **dict.fromkeys(range(0x2066, 0x206A)),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}
