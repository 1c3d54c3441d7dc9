"""Which files of a folder are a run's: it records the name of each that it writes."""

from __future__ import annotations

import os
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import open_regular, read_json
from common.runs.lock import NAME as LOCK

FORMAT = 2  # of the run folder; a folder of a higher format is refused, of a lower one read
RECORD = "files.txt"

# What runs of format 1, which recorded no names, may have written.
OF_FORMAT_1 = (
    "config.json", "data.json", "model.safetensors", "best-*.safetensors", "training.pt",
    "metrics.jsonl", "tensorboard", "*vocabulary*.json", "*tokenizer*.json", "*.model",
    "summary.json", "evaluation-*.json", "captions-*.jsonl", "translations-*",
)  # fmt: skip


def record(folder: Path, *files: str) -> None:
    """Add names to those of the run in the folder, before the files are written.

    A line is added at once: an evaluation may write to the folder while the run is trained.
    """
    names = recorded(folder)
    wanted = [RECORD, *files]
    if not names and is_run(folder):  # of format 1: what it wrote stays its own
        wanted += sorted(item.name for item in folder.iterdir() if _belongs(folder, item.name))
    new = [each for each in dict.fromkeys(wanted) if each not in names]
    if new:
        # A name that is not UTF-8 is kept as its bytes.
        lines = "".join(f"{each}\n" for each in new).encode(errors="surrogateescape")
        with open_regular(folder / RECORD, "ab") as file:
            file.write(lines)


def recorded(folder: Path) -> set[str]:
    """The recorded names; each is of the folder itself, never of one beside it."""
    try:
        with open_regular(folder / RECORD) as file:
            text = file.read().decode(errors="surrogateescape")
    except UserError:
        return set()
    return {line for line in text.splitlines() if line and Path(line).name == line}


def describes_run(stored: Any) -> bool:
    """Whether the content of a config.json is that of a run."""
    return (
        isinstance(stored, dict)
        and isinstance(stored.get("format"), int)
        and isinstance(stored.get("kind"), str)
        and isinstance(stored.get("config"), dict)
    )


def description(folder: Path, kind: str | None) -> dict[str, Any]:
    """What config.json says of the run in a folder, by the names of the fields of `Run`.

    Raises:
        UserError: there is no run, or it is of another kind or of a newer version.
    """
    if not folder.exists():
        raise UserError(f"{folder} does not exist.")
    if not os.path.lexists(folder / "config.json"):
        raise UserError(f"{folder} is not a run folder: it has no config.json.")
    stored = read_json(folder / "config.json", links=False)
    if not describes_run(stored):
        raise UserError(f"{folder / 'config.json'} is not the configuration of a run.")
    if stored["format"] > FORMAT:
        raise UserError(
            f"{folder} was written by a newer version of unroll (format {stored['format']}, "
            f"this one reads {FORMAT}). Update unroll."
        )
    if kind is not None and stored["kind"] != kind:
        raise UserError(f"{folder} holds a {stored['kind']}, not a {kind}.")
    stored = {"created": ""} | stored
    for each in ("digests", "made_by"):
        stored[each] = stored[each] if isinstance(stored.get(each), dict) else {}
    return stored


def description_to_resume(folder: Path, kind: str | None) -> dict[str, Any]:
    """As `description`, of a run whose training can go on.

    Raises:
        UserError: as there, or the run is of an earlier format, or without its training state.
    """
    stored = description(folder, kind)
    if stored["format"] != FORMAT:
        raise UserError(
            f"{folder} was begun by an earlier version of unroll (format {stored['format']}): it can be "
            "evaluated and used, but not resumed. Resume it with that version, or start another run."
        )
    weights, state = (
        os.path.lexists(folder / name) for name in ("model.safetensors", "training.pt")
    )
    if weights and not state:
        raise UserError(
            f"{folder} has weights, but no training.pt to resume from. Copy the whole folder, or "
            "replace the run (--overwrite)."
        )
    return stored


def is_run(folder: Path) -> bool:
    try:
        return folder.is_dir() and describes_run(read_json(folder / "config.json", links=False))
    except UserError:
        return False


def is_unfinished(item: Path) -> bool:
    """Whether a killed process had begun to write this file of a run (see `atomic_write`)."""
    if not item.is_file() or not item.name.startswith("."):
        return False
    # Two points: one of what `Run.keep` compares with the file that is there.
    name = item.name.lstrip(".").rpartition(".")[0]
    return any(_belongs(item.parent, each) for each in (name, name.rpartition(".")[0]))


def is_beginning(item: Path) -> bool:
    """Whether a file was left by a run that was killed before it had a configuration."""
    return item.name in (RECORD, LOCK) or is_unfinished(item)


def delete(folder: Path) -> None:
    """Delete what a run wrote, and leave any other file; config.json late, so that a killed deletion
    still leaves a run folder."""
    order = {"config.json": 1, RECORD: 2}
    found = [item for item in folder.iterdir() if _belongs(folder, item.name)]
    for item in sorted(found, key=lambda item: order.get(item.name, 0)):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


def _belongs(folder: Path, name: str) -> bool:
    names = recorded(folder)
    return name in names if names else any(fnmatch(name, each) for each in OF_FORMAT_1)
