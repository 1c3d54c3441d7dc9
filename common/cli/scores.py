"""What the commands that score a file of sentences take and print alike."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from common.cli.command_line import print_scores
from common.config.marks import BASIC, File, Metavar
from common.errors import UserError, printable
from common.files import atomic_write


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """How scores are given."""

    items: Annotated[File | None, BASIC] = None
    """Write the scores of each item to this file: a JSON object on each line, in the order of the
    input."""
    json: Annotated[bool, BASIC] = False
    """Print one JSON object: the scores, their signatures, and notes."""
    encoding: Annotated[str | None, Metavar("NAME")] = None
    """Encoding of the text files: cp949, euc-kr, latin-1, utf-16, or any other of Python. By default
    UTF-8, or UTF-16 where a file is in it."""


def check_items(path: Path | None, inputs: Iterable[str]) -> None:
    """Refuse a file for the scores of each item, before they are computed.

    Args:
        path: of the file, if there is to be one.
        inputs: names of the files that are scored, which it must not replace.

    Raises:
        UserError: it is one of those, or a folder, or its folder does not exist.
    """
    if path is not None and path.is_dir():
        raise UserError(f"--items {path} is a folder: name a file.")
    if path is not None and not path.parent.is_dir():
        raise UserError(f"--items {path}: there is no folder {path.parent}. Make it first.")
    if (
        path is not None
        and path.exists()
        and any(os.path.exists(name) and path.samefile(name) for name in inputs)
    ):
        raise UserError(f"--items {path} is a file that is scored: name another.")


def give_scores(
    options: ScoringOptions,
    metrics: Mapping[str, float],
    signatures: Mapping[str, str],
    notes: Sequence[str] = (),
    items: Iterable[Mapping[str, Any]] = (),
) -> None:
    """Print the scores of a corpus, and write those of its items if that is wanted.

    Args:
        options: say where to.
        metrics, signatures, notes: as `print_scores` takes them.
        items: what a line is to say of each.
    """
    if options.items is not None:
        with atomic_write(options.items) as file:
            file.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in items)
    if options.json:
        content = {**metrics, "signatures": dict(signatures), "notes": list(notes)}
        print(printable(json.dumps(content)))
    else:
        print_scores(metrics, signatures, notes)
