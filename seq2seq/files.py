"""Two files of sentences and their translations, named on a command line in the place of a data set."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from common.data.damage import Tally
from common.data.encodings import text_encoding
from common.data.pairs import AlignedLines
from common.errors import UserError
from seq2seq.data import ParallelData, notes, survey


def files_named(
    source: str | None, target: str | None, languages: Collection[str | None]
) -> tuple[Path, Path] | None:
    """The two files that are named where languages may be; None where there are no such files.

    Args:
        source, target: as they are named.
        languages: those that a run was trained on, which need not be files.

    Raises:
        UserError: one is a file, and the other is none; or one looks like a file that is not there.
    """
    named = {"source": source, "target": target}
    there = {side: name is not None and os.path.isfile(name) for side, name in named.items()}
    if source is not None and target is not None and all(there.values()):
        return Path(source), Path(target)
    for side, other in (("source", "target"), ("target", "source")):
        if there[side] and named[other] is None:
            raise UserError(
                f"--{side} {named[side]} is a file: name that of the {other} sentences too, --{other}."
            )
        if there[side]:
            raise UserError(
                f"--{side} {named[side]} is a file, and --{other} {named[other]} is not there: name two "
                "files, line n of one the translation of line n of the other."
            )
    for side, name in named.items():
        if name is not None and name not in languages and ("." in name or os.sep in name):
            raise UserError(f"--{side} {name}: there is no such file.")
    return None


def refuse_other_data(options: Mapping[str, str | None]) -> None:
    """Refuse options that choose among data, where two files are all the data.

    Args:
        options: by name; "val" is what nobody has chosen.

    Raises:
        UserError: one is given.
    """
    for option, value in options.items():
        if value not in (None, "val"):
            raise UserError(
                f"the files of --source and --target are all the data: leave out {option} {value}."
            )


def load_files(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    split: str,
    *,
    max_problems: float = 0.01,
    encoding: str | None = None,
) -> ParallelData:
    """Load two files, of which line n of one is the translation of line n of the other.

    Args:
        source, target: the files, plain or .gz.
        split: the name of their one split.
        max_problems, encoding: as `load` takes them.

    Raises:
        UserError: a file cannot be read, one has more lines than the other, or too much damage.
    """
    ours, theirs = Path(source), Path(target)
    damage = Tally()
    with text_encoding(encoding):
        texts, hashes = survey(
            AlignedLines(ours, theirs, split), lambda named, _: str(named), damage
        )
    remarks = list(notes(texts, hashes))
    data = ParallelData(
        f"{ours.name} and {theirs.name}", "files", texts, {"pairs": damage}, remarks
    )
    data.check(ours, max_problems)
    return data
