"""The run folder: everything that a result needs, written and read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from common.config.changes import refuse_changes
from common.config.plain import Options, dotted, from_dict, of_today, plain
from common.errors import UserError
from common.files import expanded, make_folder, open_regular, write_json
from common.progress import warn
from common.runs import contents
from common.runs.contents import FORMAT
from common.runs.lock import NAME as LOCK, Lock
from common.runs.origin import command_line, what_makes_it
from common.runs.weights import (
    Model,
    build_to_fit,
    load_weights,
    read_state,
    save_state,
    save_weights,
)  # fmt: skip


@dataclass(eq=False)
class Run:
    """One folder that holds all that a result needs, and can be moved anywhere.

        config.json          format, kind, what made it (versions, command line, commit, platform), the
                             configuration, and digests of the files that `keep` wrote
        files.txt            the names of all that the run wrote: what overwriting it deletes
        data.json            digests of the data that it is trained and validated on
        *vocabulary*.json    vocabularies and tokenizers, by their own classes
        model.safetensors    the best weights
        training.pt          the state from which training resumes, with the last weights
        metrics.jsonl        one line for every report
        events.out.tfevents.*  event files of TensorBoard, which calls the run by the folder's name

    Make one with `Run.create`, read one with `Run.open`. What `create` returns holds the folder's lock
    until `release`: no other process may write there what a training writes. Every file is written
    atomically, and nothing in the folder can run code when it is loaded. Folders of format 1 are read;
    a training of that format is not resumed.
    """

    path: Path
    kind: str
    config: dict[str, Any]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of what `keep` has written, by name."""
    made_by: dict[str, Any] = field(default_factory=what_makes_it)
    format: int = FORMAT
    _lock: Lock | None = field(default=None, init=False)
    _kept: dict[str, bytes] = field(default_factory=dict, init=False)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        kind: str,
        config: Any,
        *,
        resume: bool = False,
        overwrite: bool = False,
        may_change: Collection[str] = (),
        keep: Mapping[str, Callable[[Path], None]] = MappingProxyType({}),
    ) -> Run:
        """Start a run in a folder, or enter the run that is there to continue it.

        Args:
            path: the folder; made if missing. A folder with other files in it is refused.
            kind: what the run trains, as "captioner".
            config: a dict of plain values, or a dataclass.
            resume: continue the run that is there, if one is; without one, start it.
            overwrite: delete the run that is there, and nothing else.
            may_change: settings, dotted if nested, that a resumed run may change. A change of any
                other is refused: the result would be of neither configuration.
            keep: files that the weights depend on, each with what writes it to a path; see `keep`.

        Raises:
            UserError: the folder holds a run or other files, or a run that cannot be resumed; or another
                process is training in it.
        """
        path = expanded(path)
        run = cls.check(path, kind, config, resume, overwrite, may_change)
        config = plain(config)
        if run is not None:
            run.hold()
            for name, write in keep.items():  # first: where they differ, nothing is changed
                run.keep(name, write)
            if config != run.config:
                run._note_changes(config)
                run.config = config
                run._write_config()
            for unfinished in filter(contents.is_unfinished, path.iterdir()):  # by a killed process
                unfinished.unlink()
            return run
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path, kind, config)
        run.hold()
        if contents.is_run(path):
            contents.delete(path)
        contents.record(path, "config.json")
        run._write_config()
        for name, write in keep.items():
            run.keep(name, write)
        return run

    @classmethod
    def check(
        cls, path: str | os.PathLike[str], kind: str, config: Any, resume: bool = False,
        overwrite: bool = False, may_change: Collection[str] = (),
    ) -> Run | None:  # fmt: skip
        """Refuse what `create` would refuse, before anything slow is done for the run.

        The arguments are those of `create`. Returns the run that is to be continued, if one is.

        Raises:
            UserError: the folder holds other files, or a run that is neither resumed nor replaced,
                or one of an older format, without its training state, or begun with other settings.
        """
        path = expanded(path)
        if resume and overwrite:
            raise UserError("--resume goes on with a run, and --overwrite replaces it: choose one.")
        if contents.is_run(path):
            if not (resume or overwrite):
                raise UserError(
                    f"{path} holds a run already. Resume it (--resume), "
                    "replace it (--overwrite), or name another folder."
                )
            if (path / LOCK).exists():
                Lock(path).release()  # refuses what another process trains
            if resume:
                contents.description_to_resume(path, kind)
                run = cls.open(path, kind)
                begun = of_today(type(config), run.format, run.config)
                refuse_changes(str(path), begun, plain(config), may_change)
                return run
        elif path.exists() and not (
            path.is_dir() and all(map(contents.is_beginning, path.iterdir()))
        ):
            raise UserError(f"{path} exists and is not a run folder. Name another folder.")
        return None

    @classmethod
    def open(cls, path: str | os.PathLike[str], kind: str | None = None) -> Run:
        """Read the run in a folder; `kind` is what the caller can use, None for any.

        Raises:
            UserError: there is no run, or it is of another kind or of a newer version.
        """
        path = expanded(path)
        stored = contents.description(path, kind)
        return cls(path, **{each.name: stored[each.name] for each in fields(cls)[1:] if each.init})

    def hold(self) -> None:
        """Let no other process write what a training writes, until `release`.

        Raises:
            UserError: another process does.
        """
        if self._lock is None:
            self._lock = Lock(self.path)
        self._kept |= {name: (self.path / name).read_bytes() for name in self.digests}

    def release(self) -> None:
        """Let other processes train in the folder."""
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def read_config(self, options: type[Options]) -> Options:
        """The configuration as the dataclass of options that it was made of; see `of_today`.

        Raises:
            UserError: some are missing, or unknown, or impossible.
        """
        config = of_today(options, self.format, self.config)
        return from_dict(options, config, str(self.path / "config.json"))

    def file(self, name: str) -> Path:
        """The path of a file in the folder, to write it; folders on the way are made.

        The run records the name: overwriting the run deletes the file. A folder that was moved or
        deleted while it is trained in is made again: what is in memory is saved.
        """
        if self._lock is not None and not (self.path / "config.json").exists():
            self._make_again()
        path = self.path / name
        if path.parent != self.path:
            make_folder(path.parent)
        contents.record(self.path, Path(name).parts[0])
        return path

    def keep(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a file without which the weights mean nothing, as a vocabulary.

        `existing` will know it from another run's file of that name. A run that is resumed must
        bring the same again: weights do not fit other words.

        Raises:
            UserError: the run was begun with another content; the old file stays.
        """
        path = self.file(name)
        fresh = path.with_name(f".{name}.new")
        write(fresh)
        digest = hashlib.sha256(fresh.read_bytes()).hexdigest()
        if self.digests.get(name, digest) != digest:
            fresh.unlink()
            raise UserError(
                f"{self.path} was begun with another {name}: the data has changed. "
                "Resume it with the same data, or start another run."
            )
        self._kept[name] = fresh.read_bytes()
        fresh.replace(path)
        if name not in self.digests:
            self.digests[name] = digest
            self._write_config()

    def existing(self, name: str) -> Path:
        """The path of a file in the folder, to read it.

        Raises:
            UserError: the file is missing, or not the one that the run kept under this name.
        """
        path = self.path / name
        if not os.path.lexists(path):
            raise UserError(
                f"{self.path} is incomplete: {name} is missing. Copy the whole folder, "
                "or train again."
            )
        with open_regular(path) as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        if self.digests.get(name, digest) != digest:
            raise UserError(
                f"{path} is not the file that this run was trained with: it is of another run, or "
                "was changed. Copy the whole folder, or train again."
            )
        return path

    def save_model(self, model: nn.Module | dict[str, Tensor]) -> None:
        """Write the weights (of a module, or a state dict) that the run stands for: its best."""
        weights = model.state_dict() if isinstance(model, nn.Module) else model
        save_weights(self.file("model.safetensors"), weights)

    def build_model(self, build: Callable[[], Model]) -> Model:
        """What `build` makes of the run's options, once it is known to fit the run's weights, if there
        are any; see `build_to_fit`."""
        path = self.path / "model.safetensors"
        return build_to_fit(path, build) if path.exists() else build()

    def load_model(self, model: nn.Module) -> None:
        """Put the run's weights into `model`.

        Raises:
            UserError: there are none yet, or they are damaged or of another architecture.
        """
        if not self.has_weights():
            raise UserError(
                f"{self.path} has no weights yet: its training was stopped before the first "
                "validation. Resume it (--resume)."
            )
        load_weights(self.path / "model.safetensors", model)

    def save_training_state(self, state: dict[str, Any]) -> None:
        """Write a dict of tensors and plain values, from which training can resume."""
        save_state(self.file("training.pt"), state)

    def has_weights(self) -> bool:
        """Whether there are weights to use."""
        return os.path.lexists(self.path / "model.safetensors")

    def has_training_state(self) -> bool:
        """Whether there is a state from which training goes on, whatever the weights began as."""
        return os.path.lexists(self.path / "training.pt")

    def load_training_state(self) -> dict[str, Any] | None:
        """The last training state, tensors on the CPU; None if none was written yet.

        Raises:
            UserError: the file is damaged.
        """
        return read_state(self.path / "training.pt") if self.has_training_state() else None

    def _note_changes(self, config: Mapping[str, Any]) -> None:
        """Record the command that goes on with other settings: the first does not make the run again."""
        before, now = dict(dotted(self.config)), dict(dotted(dict(config)))
        differing = {name for name in before | now if before.get(name) != now.get(name)}
        if differing - {"resume", "overwrite", "run_dir"} and self.made_by:
            self.made_by["resumed by"] = command_line()

    def _make_again(self) -> None:
        warn(
            f"{self.path} was moved or deleted while it was trained in: it is made again, without the "
            "figures and the best weights of before"
        )
        self.path.mkdir(parents=True, exist_ok=True)
        contents.record(self.path, "config.json")
        self._write_config()
        for name, content in self._kept.items():
            self.file(name).write_bytes(content)

    def _write_config(self) -> None:
        names = ("format", "kind", "created", "made_by", "config", "digests")
        write_json(self.path / "config.json", {name: getattr(self, name) for name in names})
