"""What a run keeps besides its weights, built or read by one and the same function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from common.compute import Precision
from common.files import write_json
from common.runs.run import Run
from common.runs.weights import Model

Value = TypeVar("Value")


class Kept:
    """Builds what a run must keep where the run is new, and reads it where it goes on or is used.

        words = kept.get("words.json", Vocabulary, lambda: Vocabulary.build(sentences))

    Args:
        run: the run that is resumed, evaluated or used; None: a new one.
    """

    def __init__(self, run: Run | None = None) -> None:
        self.run = run
        self.writers: dict[str, Callable[[Path], None]] = {}
        """What a new run is to write, by name: what `Run.create` takes as `keep`."""
        self.precision: Precision = "fp32"
        """What its training computes in; a session knows it once there is a model to measure."""

    @property
    def new(self) -> bool:
        """Whether the run is yet to begin."""
        return self.run is None

    def get(self, name: str, kind: Any, build: Callable[[], Value]) -> Value:
        """The object of one file.

        Args:
            name: of the file.
            kind: its class, as `Vocabulary`: `kind.load(path)` reads the file, and `save(path)` of an
                object writes it.
            build: makes the object of a new run.

        Raises:
            UserError: the file is missing, damaged, or not the one that the run kept.
        """
        if self.run is not None:
            return kind.load(self.run.existing(name))
        built: Any = build()
        self.writers[name] = built.save
        return built

    def get_several(self, name: str, kind: Any, build: Callable[[], Value]) -> Value:
        """The object of several files, whose names begin with `name`; else as `get`.

        Its class, as `Language`, has `load(locate, name)`, and its objects `files(name)`: the names of
        the files, each with what writes it to a path.
        """
        if self.run is not None:
            return kind.load(self.run.existing, name)
        built: Any = build()
        self.writers |= dict(built.files(name))
        return built

    def build_model(self, build: Callable[[], Model]) -> Model:
        """What `build` makes; of a run that there is, as `Run.build_model`."""
        return build() if self.run is None else self.run.build_model(build)

    def same(self, name: str, value: Any) -> None:
        """Keep a plain value that a resumed run must bring again, as digests of its data.

        Raises:
            UserError: the run was begun with another value.
        """
        write = partial(write_json, value=value)
        self.writers[name] = write
        if self.run is not None:
            self.run.keep(name, write)
