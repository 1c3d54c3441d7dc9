"""Where the event files of a run are: in its folder, beside what else it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from common.runs.contents import is_run, record

SUFFIX = ".unroll"  # of our event files: others in the folder are of a writer that is not ours
PATTERN = "events.out.tfevents.*"
EARLIER = "tensorboard"  # the folder in which earlier versions had them


def event_files(folder: Path) -> list[Path]:
    """In the order in which TensorBoard reads them."""
    return sorted(folder.glob(PATTERN + SUFFIX))


def adopt_earlier(folder: Path, warn: Callable[[str], None]) -> None:
    """Move the event files that the tracker of an earlier version wrote to where they are today.

    TensorBoard would show two runs. Links are left where they are, and not followed. What cannot be
    moved stays, and `warn` is called with one line.
    """
    earlier = folder / EARLIER
    ours = (folder / "metrics.jsonl").is_file()  # that tracker's too
    if not ours or not earlier.is_dir() or earlier.is_symlink():
        return
    try:
        for path in sorted(earlier.glob(PATTERN)):
            if path.is_file() and not path.is_symlink():
                if is_run(folder):
                    record(folder, path.name + SUFFIX)
                path.rename(folder / (path.name + SUFFIX))
        if not any(earlier.iterdir()):
            earlier.rmdir()
    except OSError as error:
        warn(f"the event files in {earlier} stay there: {error}")


def kept_size(path: Path, sizes: Mapping[str, int]) -> int:
    """The bytes of an event file that are kept, of the sizes by name; those of an earlier version are
    by the names of then."""
    return sizes.get(path.name, sizes.get(path.name.removesuffix(SUFFIX), 0))
