"""Where the figures of a training go: TensorBoard, and a file of JSON lines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import progress as shown
from common.config.plain import dotted
from common.errors import printable
from common.files import short_digest
from common.runs.contents import is_run, record
from common.training import tags
from common.training.appended_file import AppendedFile, truncate
from common.training.event_files import adopt_earlier, event_files, kept_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from common.training.events import EventWriter


class Tracker:
    """Reports the figures, texts and pictures of a training.

    Every part can be left out: without a folder nothing is written, without TensorBoard only
    `metrics.jsonl`, without progress nothing is printed. Where no step is given, it is the
    present one: `tracker.step`, which `Trainer` keeps, as `tracker.monitor` and `tracker.unit`.

    Args:
        folder: gets `metrics.jsonl` and TensorBoard's event files, as `run.path`, so that TensorBoard
            shows it under the folder's name; None: nothing is written.
        charts: by their titles, the names of figures that TensorBoard's page of custom scalars shows
            together; see `custom_scalars`.
        tensorboard: write TensorBoard's event files.
        progress: show bars (on a terminal), and print a line for every validation, on standard error.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        charts: Mapping[str, Sequence[str]] = {},
        tensorboard: bool = True,
        progress: bool = True,
    ) -> None:
        self.step = 0
        self.progress = progress
        self.monitor: str | None = None  # the metric that chooses the best weights
        self.unit = "examples"  # what the speed counts
        self._folder = None if folder is None else Path(folder)
        self._lines: AppendedFile | None = None
        self._charts = charts
        self._tensorboard = tensorboard
        self._shows_events = tensorboard and folder is not None  # until they cannot be written
        self._events: EventWriter | None = None
        self._resumed_at: int | None = None
        self._settings: dict[str, Any] = {}
        self._compared: set[str] = set()  # those of them that HParams shows
        self._curves: dict[str, list[tuple[int, list[float | None]]]] | None = None  # not read yet
        self._once: dict[str, str] = {}  # digests of what is written once in a run, by name
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        if tensorboard:
            adopt_earlier(self._folder, self.warn)
        if is_run(self._folder):
            record(self._folder, "metrics.jsonl")
        self._lines = AppendedFile(self._folder / "metrics.jsonl", self.warn)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        if self._lines is not None:
            self._lines.close()
        if self._events is not None:
            self._events.close()
        self._lines = self._events = None
        self._shows_events = False

    def scalars(self, values: dict[str, float], step: int | None = None, **about: Any) -> None:
        """Write figures: to TensorBoard one by one, to `metrics.jsonl` as one line.

        Args:
            values: by name, as "train/loss"; TensorBoard shows it under the tag of `scalar_tag`.
            step: updates made so far.
            about: more entries for the line, as epoch=3.
        """
        step = self.step if step is None else step
        if self._lines is not None:
            # JSON has neither NaN nor infinity.
            finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
            line = json.dumps({"step": step, **about, **finite}, ensure_ascii=False)
            self._lines.write(line.encode() + b"\n")
        for name, value in values.items():
            self._write("add_scalar", tags.scalar_tag(name, self.monitor), value, step)

    def curve(self, name: str, values: Sequence[float]) -> tuple[list[int], list[list[float]]]:
        """Keep a curve of the present step, as the gradient at every time step: for a heat map.

        It is a line of `metrics.jsonl`, so that a resumed run has all from its beginning.

        Args:
            name: what it is of.
            values: as many every time; those that are not finite are kept as NaN.

        Returns:
            The steps, and the curves, of this name so far, the present one last.
        """
        if self._curves is None:
            self._curves = self._kept_curves()
        finite = [value if math.isfinite(value) else None for value in values]
        if self._lines is not None:
            line = json.dumps({"step": self.step, "curve": name, "values": finite})
            self._lines.write(line.encode() + b"\n")
        self._curves.setdefault(name, []).append((self.step, finite))
        steps, curves = zip(*self._curves[name], strict=True)
        return list(steps), [[math.nan if v is None else v for v in each] for each in curves]

    def _kept_curves(self) -> dict[str, list[tuple[int, list[float | None]]]]:
        """Those that the run has, by name."""
        found: dict[str, list[tuple[int, list[float | None]]]] = {}
        lines = b"" if self._lines is None else self._lines.path.read_bytes()
        for line in lines.splitlines():
            if b'"curve": ' in line:
                kept = json.loads(line)
                found.setdefault(kept["curve"], []).append((kept["step"], kept["values"]))
        return found

    def text(self, name: str, text: str, step: int | None = None) -> None:
        """Write a text, as Markdown."""
        self._write("add_text", tags.text_tag(name), text, self.step if step is None else step)

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table of texts, whatever signs are in them."""
        lines = [columns, ["---"] * len(columns)]
        lines += [[text.replace("|", "\\|").replace("\n", " ") for text in row] for row in rows]
        self.text(name, "\n".join(f"| {' | '.join(line)} |" for line in lines))

    def images(self, name: str, images: Image | Iterable[Image], step: int | None = None) -> None:
        """Write a picture as `name`, or several as name/0, name/1, ..."""
        if not self._shows_events:
            return
        import numpy as np
        from PIL.Image import Image

        step = self.step if step is None else step
        if isinstance(images, Image):
            named = {name: images}
        else:
            named = {f"{name}/{number}": image for number, image in enumerate(images)}
        for each, image in named.items():
            pixels = np.asarray(image.convert("RGB"))
            self._write("add_image", tags.picture_tag(each), pixels, step, dataformats="HWC")

    def figure(self, name: str, figure: Figure, step: int | None = None) -> None:
        """Write a figure of matplotlib, and close it."""
        step = self.step if step is None else step
        self._write("add_figure", tags.picture_tag(name), figure, step)

    def configuration(
        self, config: dict[str, Any], compared: Collection[str] | None = None
    ) -> None:
        """Show the settings of the run as a table, with the first event, and on the page of HParams.

        Args:
            config: plain values by name; nested ones get dotted names.
            compared: dotted names of the settings that HParams shows; None: all. It leaves out those
                that are None.
        """
        self._settings = {  # of a path that is not UTF-8 TensorBoard cannot write the surrogates
            name: value if type(value) in (int, float) else printable(str(value))
            for name, value in dotted(config)
        }
        names = {name for name, value in dotted(config) if value is not None}
        self._compared = names if compared is None else names & set(compared)
        if self._events is not None:
            self._show_configuration()

    def best(self, metrics: dict[str, float]) -> None:
        """Write the metrics of the best weights so far.

        TensorBoard's HParams page shows the last value of a figure beside the settings, which need not
        be that of the weights that are kept: this copy is for it alone.
        """
        for tag, value in tags.best_tags(metrics, self.monitor).items():
            self._write("add_scalar", tag, value, self.step)

    # What follows is how `Trainer` resumes.

    def position(self) -> dict[str, Any]:
        """What has been written, as plain values, for `rewind`: the sizes of the files, and what is
        written once."""
        if self._folder is None:
            return {}
        sizes = {path.name: path.stat().st_size for path in self._event_files()}
        if self._lines is not None:
            sizes["metrics.jsonl"] = self._lines.size
        return {"sizes": sizes, "once": dict(self._once)}

    def rewind(self, step: int, position: Mapping[str, Any] | int) -> None:
        """Forget what was written after the state from which training resumes.

        Args:
            step: the updates of that state; 0 for a start from the beginning.
            position: what `position` returned then; of an earlier version of unroll, the size of
                metrics.jsonl.
        """
        self.step = step
        self._curves = None
        if self._folder is None:
            return
        if isinstance(position, Mapping):
            sizes, self._once = position.get("sizes", {}), dict(position.get("once", {}))
        else:  # of that version, TensorBoard itself drops what came after the state
            kept = self._event_files() if step else []
            sizes = {"metrics.jsonl": position} | {path.name: sys.maxsize for path in kept}
        if self._lines is not None:
            self._lines.truncate(sizes.get("metrics.jsonl", 0))
        if self._events is not None and self._events.path.name not in sizes:
            self._events.close()
            self._events = None
        for path in self._event_files():
            truncate(path, kept_size(path, sizes))
        self._resumed_at = step or None

    def _write(self, method: str, *arguments: Any, **others: Any) -> None:
        """Call a method of TensorBoard's writer, whose failure ends the events and not the training."""
        if not self._shows_events:
            return
        try:
            getattr(self._open_events(), method)(*arguments, **others)
        except OSError as error:
            self._shows_events = False
            self.warn(f"TensorBoard's events end here, and training goes on: {error}")

    def _write_once(self, method: str, *arguments: Any, key: Any) -> None:
        """`_write` what a run has once, unless the `key` is what it was when it was written."""
        digest = short_digest(key)
        if self._once.get(method) != digest:
            self._once[method] = digest
            self._write(method, *arguments)

    def _open_events(self) -> EventWriter:
        """The writer, which a run that has nothing to write does without."""
        if self._events is None:
            # Imported here: it takes longer than all else, and not everybody uses it.
            from common.training.events import EventWriter

            assert self._folder is not None
            files = self._event_files()
            self._events = EventWriter(self._folder, files, self.warn, self._resumed_at)
            layout = tags.custom_scalars(self._charts, self.monitor, self.unit)
            self._write_once("add_custom_scalars", layout, key=layout)
            self._show_configuration()
        return self._events

    def _show_configuration(self) -> None:
        if self._settings:
            rows = "".join(f"| {name} | `{value}` |\n" for name, value in self._settings.items())
            table = f"| setting | value |\n|---|---|\n{rows}"
            self._write_once("add_text", tags.CONFIGURATION, table, 0, key=rows)
            compared = {name: self._settings[name] for name in sorted(self._compared)}
            self._write_once("add_settings", compared, key=compared)

    def _event_files(self) -> list[Path]:
        """In the order in which TensorBoard reads them; none where there is none to write."""
        if self._folder is None or not self._tensorboard:
            return []
        return event_files(self._folder)

    def say(self, line: str) -> None:
        """Print a line, where progress is shown."""
        if self.progress:
            shown.say(line)

    def warn(self, line: str) -> None:
        """Print a line, also where no progress is shown."""
        shown.warn(line)
