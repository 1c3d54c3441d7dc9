"""Subwords: pieces of words learnt from text, so that no word is unknown."""

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
SPACE = "\u2581"  # how SentencePiece writes a blank

# SentencePiece leaves longer lines (4192 bytes) out; a word that is cut there does no harm.
_LONGEST_LINE = 1000
# Longer words are no words: they have too many segmentations to draw from, and too many cuts to
# remember a segmentation as one number.
_LONGEST_WORD = 60
_REMEMBERED_WORDS = 1 << 15  # at about 1 kB each: a training text is drawn from in every epoch
# Part of what a model is: with another number the sums, and so the pieces, differ a little.
_THREADS = 4


class SubwordTokenizer:
    """The pieces of a SentencePiece model (Kudo and Richardson 2018).

        A wheelchair.   ->   \u2581A \u2581wheel chair .

    A text is composed first (NFC), and nothing more: letters keep their width and ligatures, which
    SentencePiece's own rules (NFKC) would change. A run of blanks, tabs and line ends is one blank;
    characters that are not visible are dropped; U+2581, which stands for a blank, becomes `_`.
    `decode` gives back all the rest. A character that the model never saw is a piece of its own,
    as it was written. `<s>` and the like are text as any other.

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
            # Of nothing at all it would make an empty model, and complain later.
            if not model or not self._processor.LoadFromSerializedProto(model):
                raise RuntimeError
        except RuntimeError:
            raise ValueError("these bytes are no SentencePiece model") from None
        self._segmentations = functools.lru_cache(_REMEMBERED_WORDS)(self._find_segmentations)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        *,
        kind: SubwordModel = "bpe",
        lowercase: bool = False,
        character_coverage: float = 1.0,
        max_texts: int = 1_000_000,
        seed: int = 0,
    ) -> SubwordTokenizer:
        """Learn the pieces of a text; the same text gives the same pieces.

        Args:
            texts: the sentences of the *training* split; gone through once.
            vocabulary_size: most tokens of a `Vocabulary` of the pieces, the special ones included.
                A small text has fewer.
            kind: byte-pair encoding (Sennrich et al. 2016), or a unigram language model (Kudo
                2018).
            lowercase: fold to lower case.
            character_coverage: share of the characters of the text that get a piece; 0.9995 is
                usual for scripts of thousands of characters.
            max_texts: of more texts, so many are drawn to learn from; no more are held in memory.
            seed: of this draw.

        Raises:
            UserError: the text is empty, or has more different characters than there is room for.
            ValueError: another kind, or a coverage outside of 0.98 to 1 (SentencePiece's limits).
        """
        if kind not in ("bpe", "unigram") or not 0.98 <= character_coverage <= 1:
            raise ValueError(f"no {kind!r} model of a character coverage of {character_coverage}")
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
                character_coverage=character_coverage,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=_THREADS,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise _explained(str(error), vocabulary_size) from None
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
        """All pieces, best or most frequent first; unknown characters, which have none, aside."""
        return tuple(self._scores)

    @functools.cached_property
    def _scores(self) -> dict[str, float]:
        """What each piece is worth: log-probabilities (unigram), or minus its rank (BPE)."""
        model = self._processor
        return {model.IdToPiece(n): model.GetScore(n) for n in range(1, model.GetPieceSize())}

    @functools.cached_property
    def _unknown_score(self) -> float:
        """What an unknown character is worth to a unigram model, as SentencePiece has it."""
        return min(self._scores.values(), default=0.0) - 10

    def encode(self, text: str) -> list[str]:
        """The best pieces of a text."""
        return self._processor.EncodeAsPieces(_normalised(text, self.lowercase))

    def decode(self, tokens: Sequence[str]) -> str:
        """The text of pieces, in any order that a model may put them."""
        return " ".join("".join(tokens).replace(SPACE, " ").split())

    def sample(
        self, text: str, generator: np.random.Generator, alpha: float = 0.2, n_best: int = 64
    ) -> list[str]:
        """Another segmentation of a text, drawn anew: subword regularisation.

        Unigram (Kudo 2018, section 3.3): a segmentation of probability P is drawn with probability
        proportional to P^alpha. No piece reaches over a blank, so that each word can be drawn on its
        own from its `n_best` segmentations: the texts that can come of it are many more than the
        `n_best` of the whole text, and the time is that of remembering words.
        BPE (BPE-dropout, Provilkov et al. 2020): at each step each merge is left out with
        probability `alpha`.

        Args:
            text: as for `encode`.
            generator: source of all random numbers; the same state gives the same pieces.
            alpha: unigram: 0 draws evenly, and the larger, the surer the best is drawn. BPE: 0 gives
                the best pieces, 1 gives characters; the paper's is 0.1. At 0.2 German sentences have
                a fourth (unigram) or two fifths (BPE) more pieces than their best segmentation.
            n_best: unigram: segmentations of each word to draw from.

        Raises:
            ValueError: alpha is negative, or for BPE above 1.
        """
        if alpha < 0 or (self.kind == "bpe" and alpha > 1):
            raise ValueError(f"alpha {alpha} is outside of its range")
        words = _normalised(text, self.lowercase).split()
        if self.kind == "bpe":
            # One number of the generator starts Python's own, ten times faster one at a time.
            chance = random.Random(int(generator.integers(1 << 62))).random
            return [piece for word in words for piece in self._merge(word, alpha, chance)]
        drawn: list[str] = []
        for word, number in zip(words, generator.random(len(words)).tolist(), strict=True):
            cuts, summed = self._segmentations(word, alpha, n_best)
            if not cuts:
                drawn += self._processor.EncodeAsPieces(word)
                continue
            drawn += _cut(SPACE + word, cuts[bisect(summed, number * summed[-1], 0, len(cuts) - 1)])
        return drawn

    def _find_segmentations(
        self, word: str, alpha: float, n_best: int
    ) -> tuple[array[int], array[float]]:
        """The segmentations of a word, as a bit for each end of a piece; their weights, summed up.

        Of a word that is too long there are none.
        """
        if len(word) > _LONGEST_WORD:
            return array("Q"), array("d")
        scores = self._scores
        unknown = self._unknown_score
        found = self._processor.NBestEncodeAsPieces(word, n_best)
        totals = [sum(scores.get(piece, unknown) for piece in pieces) for pieces in found]
        weights = (exp(alpha * (total - totals[0])) for total in totals)  # the best comes first
        cuts = (sum(1 << end for end in accumulate(map(len, pieces))) for pieces in found)
        return array("Q", cuts), array("d", accumulate(weights))

    def _merge(self, word: str, dropout: float, chance: Callable[[], float]) -> list[str]:
        """The pieces of a word by byte-pair encoding, each merge dropped at random at each step."""
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
        """Plain JSON for `tokenizer_from_dict`: the model itself is in it, as base64."""
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
        # Half a model can be a model for SentencePiece.
        if hashlib.sha256(model).hexdigest() != value["sha256"]:
            raise ValueError("the model is damaged (its sha256 differs)")
        return cls(model, lowercase=value["lowercase"])

    def __reduce__(self) -> tuple[Any, ...]:
        return SubwordTokenizer.from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        return f"SubwordTokenizer({self.kind}, {len(self.pieces)} pieces)"


def _sample(texts: Iterable[str], size: int, seed: int) -> list[str]:
    """All texts, or `size` of them, each as likely as any other (reservoir sampling)."""
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


def _cut(word: str, cuts: int) -> list[str]:
    """The pieces of a word that end where a bit of `cuts` is set."""
    pieces, start = [], 0
    while cuts:
        end = (cuts & -cuts).bit_length() - 1  # the lowest bit
        pieces.append(word[start:end])
        start = end
        cuts &= cuts - 1
    return pieces


def _explained(message: str, vocabulary_size: int) -> UserError:
    """SentencePiece's complaint, for people."""
    sizes = re.search(r"(\d+) vs (\d+)\. Increase vocab_size", message)
    if sizes is None:
        reason = "it is empty" if "sentences_.empty()" in message else message.strip()
        return UserError(f"no subwords can be learnt from the text: {reason}.")
    least = int(sizes[2]) + len(SPECIALS) - 1
    return UserError(
        f"{vocabulary_size:,} subwords have no room for the different characters of the text. Ask "
        f"for at least {least:,}."
    )


def _normalised(text: str, lowercase: bool) -> str:
    """Composed, visible characters with one blank between words; blanks are written as such."""
    # Lower case can take a composed letter apart, so it comes first.
    text = text.lower() if lowercase else text
    if not text.isprintable():  # true of nearly every text, and found out quickly
        text = text.translate(_INVISIBLE)
    return " ".join(unicodedata.normalize("NFC", text).replace(SPACE, "_").split())


# What is not seen and means nothing; a half of a character is a character that could not be read.
_INVISIBLE: dict[int, str | None] = {
    **dict.fromkeys(
        code for code in range(0xA0) if chr(code) != " " and not chr(code).isprintable()
    ),
    **dict.fromkeys(map(ord, "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"), " "),
    **dict.fromkeys([0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, 0xFEFF]),
    **dict.fromkeys(range(0x2066, 0x206A)),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}
