"""TensorBoard's event files: each event of a run in them once, however often it is resumed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from common.files import make_folder
from common.runs.contents import is_run, record
from common.training.appended_file import AppendedFile
from common.training.event_files import SUFFIX


class EventWriter(SummaryWriter):
    """A `SummaryWriter` that writes in the caller's thread, where a failure can be handled.

    Its file comes after those that are there, by name and by the times of its events, also where the
    clock was set back: TensorBoard reads the files in the order of their names.

    Args:
        folder: of the event files.
        earlier: those that are there.
        warn: as `AppendedFile` takes it.
        step: the run goes on after so many updates: a TensorBoard that shows it already is to forget
            what came after them. None: a new run.

    Raises:
        UserError, OSError: as `AppendedFile`.
    """

    def __init__(
        self,
        folder: Path,
        earlier: Sequence[Path],
        warn: Callable[[str], None],
        step: int | None = None,
    ) -> None:
        self._file = _EventFile(folder, earlier, warn)
        super().__init__(str(folder))
        self._file.add_event(Event(file_version="brain.Event:2"))
        if step is not None:
            restart = SessionLog(status=SessionLog.START)
            self._file.add_event(Event(step=step + 1, session_log=restart))

    def add_settings(self, settings: Mapping[str, Any]) -> None:
        """Put the run on the page of HParams, with its settings by name, numbers or texts.

        Only what is of this run: `add_hparams` also writes which settings and metrics the page has, and
        TensorBoard takes that of one run for all. Without it, the page has those of any run. (It would
        also write into a run of its own, beside this.)
        """
        _, start, _ = hparams(dict(settings), {})
        self._file.add_summary(start)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.file.path

    def _get_file_writer(self) -> Any:
        self.__dict__ |= {"file_writer": self._file, "all_writers": {self.log_dir: self._file}}
        return self._file


class _EventFile:
    """What `SummaryWriter` expects of its file writer."""

    def __init__(self, folder: Path, earlier: Sequence[Path], warn: Callable[[str], None]) -> None:
        make_folder(folder)
        second = int(time.time())
        numbers = [path.name.split(".")[3] for path in earlier]
        second = max([second, *(int(each) + 1 for each in numbers if each.isdecimal())])
        name = f"events.out.tfevents.{second:010d}.{socket.gethostname()}.{os.getpid()}{SUFFIX}"
        if is_run(folder):
            record(folder, name)
        self.file = AppendedFile(folder / name, warn)
        self._records = RecordWriter(self.file)
        self._latest = max((path.lstat().st_mtime for path in earlier), default=0.0)

    def add_event(self, event: Any, step: int | None = None, walltime: float | None = None) -> None:
        self._latest = max(self._latest, time.time() if walltime is None else walltime)
        event.wall_time = self._latest
        if step is not None:
            event.step = int(step)
        self._records.write(event.SerializeToString())

    def add_summary(
        self, summary: Any, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        self.add_event(Event(summary=summary), global_step, walltime)

    def get_logdir(self) -> str:
        return str(self.file.path.parent)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()
