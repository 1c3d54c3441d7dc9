"""One text of any kind: its characters or words, and the parts of it that a language model reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from common.data.batching import pad_sequences
from common.data.reading import byte_lines
from common.data.splits import named_split
from common.errors import UserError

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class TextTokens:
    """How a text becomes tokens, and tokens a text.

    Args:
        unit: "characters"; or "words" in lower case, where every sign that is in none is a word.
        lines: each line is a text of its own; blank ones are left out.
    """

    unit: Literal["characters", "words"]
    lines: bool = False

    def split(self, text: str) -> list[list[str]]:
        """The tokens of a text, or of each of its lines."""
        texts = [line for line in text.splitlines() if line.strip()] if self.lines else [text]
        return [list(each) if self.unit == "characters" else words(each) for each in texts]

    def join(self, tokens: Iterable[str]) -> str:
        """The text of some tokens; words are parted by blanks."""
        return ("" if self.unit == "characters" else " ").join(tokens)


def words(text: str) -> list[str]:
    """The words and signs of a text, in lower case."""
    return _WORD.findall(text.lower())


def read_text_file(path: Path) -> str:
    """The whole text of a UTF-8 file, plain or compressed by gzip.

    Raises:
        UserError: the file is missing, is damaged, has no text, or is not UTF-8.
    """
    try:
        text = b"".join(byte_lines(path)).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason}). Convert the file.") from None
    if not text.strip():
        raise UserError(f"{path} has no text.")
    return text


def read_split(path: Path | str, split: str, lines: bool = False) -> str:
    """The text of a split.

    A file whose name begins with "train" has the other splits beside it: val.NAME, test.NAME. Of any
    other, the last tenth is "val", and the rest "train".

    Args:
        path: of the training text, or of the one text; or a text itself, which is every split.
        split: train, val, or the beginning of a file's name.
        lines: divide between two lines.

    Raises:
        UserError: the file is missing, is damaged, has no text, or is not UTF-8; or there is no such
            split.
    """
    if isinstance(path, str):
        return path
    if path.name.startswith("train"):
        return read_text_file(path.with_name(split + path.name.removeprefix("train")))
    text = read_text_file(path)
    cut = len(text) * 9 // 10
    if lines:
        cut = text.rfind("\n", 0, cut) + 1
    return named_split({"train": text[:cut], "val": text[cut:]}, split, path, "text")


def windows(
    ids: Sequence[int], length: int, stride: int, *, context: int = 0, ignore: int = 0
) -> tuple[Tensor, Tensor]:
    """Parts of a text that are read each by itself, with the token that follows each token.

    Args:
        ids: N + 1 tokens.
        length: T, tokens of a window.
        stride: tokens from the start of a window to that of the next; the last may be shorter.
        context: tokens at the start of a window that are read and not scored, unless they are the first
            of the text: with enough of them, the rest is scored as if all of the text had been read.
        ignore: the target that is not scored.

    Returns:
        Tokens and targets (W, T); a last window that is shorter is padded with `ignore`.

    Raises:
        UserError: there is nothing to predict.
    """
    if len(ids) < 2:
        raise UserError(f"a text of {len(ids)} tokens: there is nothing to predict.")
    starts = range(0, max(1, len(ids) - 1 - length + stride), stride)
    tokens = pad_sequences([ids[at : min(at + length, len(ids) - 1)] for at in starts], ignore)
    targets = pad_sequences([ids[at + 1 : at + length + 1] for at in starts], ignore)
    targets[1:, :context] = ignore
    return tokens, targets


def streams(
    ids: Sequence[int], rows: int, steps: int, start: int = 0
) -> list[tuple[Tensor, Tensor, bool]]:
    """One pass over a text that is read in several rows side by side, a chunk at a time.

    Args:
        ids: the tokens (N,) of the text.
        rows: B; each reads its own part of the text.
        steps: T, tokens of a chunk; the last may be shorter.
        start: where the first row begins; after the end of the text comes its start.

    Returns:
        For each chunk its tokens and targets (B, T), and whether its rows continue those of the chunk
        before: all but the first do. At most B tokens of the text are left out.

    Raises:
        UserError: there are more rows than targets.
    """
    each = (len(ids) - 1) // rows
    if each < 1:
        raise UserError(f"a text of {len(ids)} tokens cannot be read in {rows} rows side by side.")
    text = torch.as_tensor(ids).roll(-start)
    tokens, targets = (text[at : at + rows * each].view(rows, each) for at in (0, 1))
    parts = zip(tokens.split(steps, 1), targets.split(steps, 1), strict=True)
    return [(*part, chunk > 0) for chunk, part in enumerate(parts)]
