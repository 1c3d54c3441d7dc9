"""Subwords: pieces of words, learned from text, so that no word is unknown."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import sentencepiece

from common.errors import UserError
from common.files import open_regular
from common.text.vocabulary import SPECIALS

SubwordModel = Literal["bpe", "unigram"]
SPACE = "\u2581"  # SentencePiece's sign for a blank

LARGEST = 100 << 20  # bytes of a model's file

# Longer lines are cut, since SentencePiece ignores those of more than 4192 bytes.
_LONGEST_LINE = 1000
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

    A model of others (`read`) may normalize the text further, by its own rules. Its control symbols and
    its unknown token, whatever their names and ids, are no pieces: a `Vocabulary` has its own. The bytes
    of a model with byte fallback become characters again.

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
            _ = self.pieces  # each is text
        except (RuntimeError, UnicodeDecodeError):
            raise ValueError("these bytes are no SentencePiece model") from None

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        *,
        kind: SubwordModel = "bpe",
        lowercase: bool = False,
        max_texts: int = 1_000_000,
    ) -> SubwordTokenizer:
        """Learn the pieces of a text, deterministically.

        Args:
            texts: the sentences of the *training* split; iterated once.
            vocabulary_size: most tokens of a `Vocabulary` of the pieces, the special ones included.
                A small text has fewer.
            kind: byte-pair encoding (Sennrich et al. 2016), or a unigram language model (Kudo
                2018).
            lowercase: fold to lower case.
            max_texts: most lines to learn from, and to hold in memory; of more, SentencePiece takes a
                random sample, always the same. Above 100.

        Raises:
            UserError: the text is empty, or has more different characters than the vocabulary.
            ValueError: there is no such kind.
        """
        if kind not in ("bpe", "unigram"):
            raise ValueError(f"kind must be bpe or unigram, not {kind!r}")
        clean = (_normalised(text, lowercase) for text in texts)
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
                input_sentence_size=max_texts,
                num_threads=_THREADS,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise _training_error(str(error), vocabulary_size) from None
        return cls(model.getvalue(), lowercase=lowercase)

    @classmethod
    def read(cls, path: Path, *, lowercase: bool = False) -> SubwordTokenizer:
        """The tokenizer of a SentencePiece model's file, as any tool has trained it.

        Raises:
            UserError: there is no such file, or it is no such model, or a damaged one.
        """
        with open_regular(path, links=True) as file:
            model = file.read(LARGEST + 1)
        try:
            if len(model) > LARGEST or not _is_whole(model):
                raise ValueError
            tokenizer = cls(model, lowercase=lowercase)
            if not tokenizer.pieces:
                raise ValueError
        except ValueError:
            raise UserError(
                f"{path}: no SentencePiece model, or a damaged one. Name the .model file that "
                "SentencePiece writes (not the .vocab file beside it)."
            ) from None
        return tokenizer

    @functools.cached_property
    def pieces(self) -> tuple[str, ...]:
        """All pieces, best or most frequent first, without unknown token and control symbols."""
        model = self._processor
        special = model.IsUnknown, model.IsControl, model.IsUnused
        numbers = range(model.GetPieceSize())
        return tuple(
            model.IdToPiece(n) for n in numbers if not any(is_special(n) for is_special in special)
        )

    def encode(self, text: str) -> list[str]:
        """The best pieces of a text."""
        return self._processor.EncodeAsPieces(_normalised(text, self.lowercase))

    def decode(self, tokens: Sequence[str]) -> str:
        """The text of pieces; any sequence of them is valid."""
        text = "".join(tokens)
        if self._has_bytes:
            text = _BYTES.sub(_characters, text)
        return " ".join(text.replace(SPACE, " ").split())

    @functools.cached_property
    def _has_bytes(self) -> bool:
        """Whether the model writes characters that it lacks as bytes."""
        model = self._processor
        return any(model.IsByte(n) for n in range(model.GetPieceSize()))

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
        return f"SubwordTokenizer({len(self.pieces)} pieces)"


_BYTES = re.compile("(?:<0x[0-9A-F]{2}>)+")


def _characters(found: re.Match[str]) -> str:
    """The characters of a run of byte pieces; U+FFFD for bytes that are none."""
    return bytes.fromhex(found[0].replace("<0x", "").replace(">", "")).decode(errors="replace")


def _is_whole(model: bytes) -> bool:
    """Whether the bytes end where a model ends: SentencePiece accepts some that are cut off.

    A model is a protocol buffer: its pieces, the settings of its training, and those of its normalizer.
    """
    at, last = 0, 0
    while at < len(model):
        last, size, shift = model[at] >> 3, 0, 0
        if model[at] & 7 != 2:  # all parts have a length
            return False
        at += 1
        while at < len(model) and shift < 35:
            size |= (model[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if model[at - 1] < 128:
                break
        at += size
    return at == len(model) and last >= 3


def _training_error(message: str, vocabulary_size: int) -> UserError:
    """The error for a message of SentencePiece's trainer."""
    sizes = re.search(r"(\d+) vs (\d+)\. Increase vocab_size", message)
    if sizes is None:
        reason = "it is empty" if "sentences_.empty()" in message else message.strip()
        return UserError(f"no subwords can be learned from the text: {reason}.")
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
