"""CoNLL-U: one word a line, its columns between tabs, and a blank line after each sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.files import read_text


class TaggedSentence(NamedTuple):
    """The words of a sentence, as they are written, and a tag for each."""

    words: list[str]
    tags: list[str]


def read_conllu(path: Path) -> Iterator[TaggedSentence]:
    """The sentences of a CoNLL-U file with their universal parts of speech.

    Raises:
        UserError: the file is missing, or a line of it has too few columns.
    """
    sentence = TaggedSentence([], [])
    for number, line in enumerate([*read_text(path).splitlines(), ""], 1):
        columns = line.split("\t")
        if not line and sentence.words:
            yield sentence
            sentence = TaggedSentence([], [])
        elif line and not line.startswith("#"):
            if len(columns) < 4:
                raise UserError(f"{path}:{number}: not a line of CoNLL-U: tabs are missing.")
            if columns[0].isdecimal():  # 3-4 is a word that is two, 5.1 one that nobody wrote
                sentence.words.append(columns[1])
                sentence.tags.append(columns[3])
