"""Where the figures of a training go: TensorBoard, a file of JSON lines, and a progress bar."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

from common.config.plain import dotted
from common.errors import printable
from common.runs.contents import is_run, record

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image
    from torch.utils.tensorboard import SummaryWriter


class Tracker:
    """Reports the figures, texts and pictures of a training.

    Every part can be left out: without a folder nothing is written, without TensorBoard only
    `metrics.jsonl`, without progress nothing is printed. Where no step is given, it is the
    present one: `tracker.step`, which `Trainer` keeps.

    Args:
        folder: gets `metrics.jsonl` and `tensorboard/`, as `run.path`; None: nothing is written.
        charts: by their titles, the figures that TensorBoard's page of custom scalars shows together
            (patterns of names), besides loss, speed and memory.
        tensorboard: write TensorBoard's event files.
        progress: show a bar (on a terminal) and a line for every validation, on standard error.
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
        self._progress = progress
        self._bar = tqdm(disable=True)
        self._lines: IO[bytes] | None = None
        self._writer: SummaryWriter | None = None
        self._settings: dict[str, Any] = {}
        self._shows_settings = False
        self._earlier_events: list[Path] = []
        if folder is None:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        if is_run(Path(folder)):
            record(Path(folder), "metrics.jsonl", "tensorboard")
        self._lines = open(Path(folder) / "metrics.jsonl", "ab")  # noqa: SIM115
        if tensorboard:
            # Imported here: it takes longer than all else, and not everybody uses it.
            from torch.utils.tensorboard import SummaryWriter

            self._earlier_events = list(Path(folder, "tensorboard").glob("events.*"))
            self._writer = SummaryWriter(str(Path(folder) / "tensorboard"))
            pages: dict[str, Mapping[str, Sequence[str]]] = {
                "training and validation": {"loss": ("train/loss", "validation/loss"), **charts},
                "speed": {"per second": ("speed/.*",), "memory": ("memory/.*",)},
            }
            layout = {
                page: {title: ["Multiline", list(names)] for title, names in shown.items()}
                for page, shown in pages.items()
            }
            self._writer.add_custom_scalars(layout)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Write out what is buffered and close the files."""
        self.end_epoch()
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def scalars(self, values: dict[str, float], step: int | None = None, **about: Any) -> None:
        """Write figures: to TensorBoard one by one, to `metrics.jsonl` as one line.

        Args:
            values: by name, as "train/loss"; TensorBoard groups by what is before the slash.
            step: updates made so far.
            about: more entries for the line, as epoch=3.
        """
        step = self.step if step is None else step
        if self._lines is not None:
            # JSON has neither NaN nor infinity.
            finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
            line = json.dumps({"step": step, **about, **finite}, ensure_ascii=False)
            self._lines.write(line.encode() + b"\n")
            self._lines.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str, step: int | None = None) -> None:
        """Write a text, as Markdown."""
        if self._writer is not None:
            self._writer.add_text(name, text, self.step if step is None else step)

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table of texts, whatever signs are in them."""
        lines = [columns, ["---"] * len(columns)]
        lines += [[text.replace("|", "\\|").replace("\n", " ") for text in row] for row in rows]
        self.text(name, "\n".join(f"| {' | '.join(line)} |" for line in lines))

    def images(self, name: str, images: Image | Iterable[Image], step: int | None = None) -> None:
        """Write a picture as `name`, or several as name/0, name/1, ..."""
        if self._writer is None:
            return
        import numpy as np
        from PIL.Image import Image

        step = self.step if step is None else step
        if isinstance(images, Image):
            named = {name: images}
        else:
            named = {f"{name}/{number}": image for number, image in enumerate(images)}
        for tag, image in named.items():
            self._writer.add_image(tag, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def figure(self, name: str, figure: Figure, step: int | None = None) -> None:
        """Write a figure of matplotlib, and close it."""
        if self._writer is not None:
            self._writer.add_figure(name, figure, self.step if step is None else step)

    def configuration(self, config: dict[str, Any]) -> None:
        """Write the settings of the run as a table, and remember them for `best`.

        Args:
            config: plain values by name; nested ones get dotted names.
        """
        self._settings = {  # of a path that is not UTF-8 TensorBoard cannot write the surrogates
            name: value if type(value) in (int, float) else printable(str(value))
            for name, value in dotted(config)
        }
        rows = "".join(f"| {name} | `{value}` |\n" for name, value in self._settings.items())
        self.text("configuration", f"| setting | value |\n|---|---|\n{rows}", step=0)

    def best(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write the metrics of the best weights so far, as best/<name>.

        TensorBoard's HParams page shows the last of them beside the settings: it is filled as soon
        as there is a first validation, and right for a run that was stopped.
        """
        if self._writer is None:
            return
        named = {f"best/{name}": value for name, value in metrics.items()}
        if not self._shows_settings:
            from torch.utils.tensorboard.summary import hparams

            # `SummaryWriter.add_hparams` would write the same into a run of its own, beside this.
            for summary in hparams(self._settings, named)[:2]:  # not the third: "has ended"
                self._writer._get_file_writer().add_summary(summary)
            self._shows_settings = True
        for name, value in named.items():
            self._writer.add_scalar(name, value, self.step if step is None else step)

    # What follows is how `Trainer` resumes, and shows that it is alive.

    def position(self) -> int:
        """The size of `metrics.jsonl`, for `rewind`."""
        return 0 if self._lines is None else self._lines.tell()

    def rewind(self, step: int, position: int) -> None:
        """Forget what an earlier process wrote after the state from which training resumes.

        Args:
            step: the updates of that state; 0 for a start from the beginning.
            position: what `position` returned then.
        """
        self.step = step
        if self._lines is not None and self._lines.tell() > position:
            self._lines.truncate(position)
            self._lines.seek(position)
        if self._writer is None or not self._earlier_events:
            return
        if not step:
            for path in self._earlier_events:
                path.unlink(missing_ok=True)
            return
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        restart = SessionLog(status=SessionLog.START)
        self._writer._get_file_writer().add_event(Event(step=step + 1, session_log=restart))

    def begin_epoch(self, epoch: int, batches: int, done: int) -> None:
        """Show a new bar: `epoch` counted from 0, `done` of its batches before now."""
        self.end_epoch()
        self._bar = tqdm(
            desc=f"epoch {epoch + 1}", total=batches, initial=done, unit=" batches", leave=False,
            dynamic_ncols=True,
            disable=None if self._progress else True,  # None: no bar where standard error is a file
        )  # fmt: skip

    def advance(self, batches: int) -> None:
        """Move the bar on."""
        self._bar.update(batches)

    def show(self, **figures: str) -> None:
        """Put the newest figures beside the bar."""
        self._bar.set_postfix(figures)

    def end_epoch(self) -> None:
        self._bar.close()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._progress:
            tqdm.write(line, file=sys.stderr)
