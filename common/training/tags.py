"""The names under which TensorBoard shows what a training reports.

TensorBoard sorts its cards by their tags, groups them by what is before the first slash, and opens the
first two groups. The numbers put the monitored score and the losses on the first screen. On the page
that compares runs (HParams) columns are sorted too, and the first five are shown: there a parenthesis
comes before a digit, and on the other pages after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

FIRST, SPEED = "1 scores and loss", "5 speed"
GROUPS = {"validation": "2 validation", "train": "3 training", "speed": SPEED, "memory": "6 memory"}
MOVED = {  # to another group
    "train/loss": f"{FIRST}/training loss",
    "validation/loss": f"{FIRST}/validation loss",
    "validation/seconds": f"{SPEED}/validation_seconds",
}
CONFIGURATION = "2 configuration"  # a long table, after the texts


def scalar_tag(name: str, monitor: str | None = None) -> str:
    """The tag of a figure.

    Args:
        name: as `Tracker.scalars` takes it; one of no known group is its own tag.
        monitor: the metric of a validation that chooses the best weights; None: all are alike.
    """
    group, slash, figure = name.partition("/")
    if name in MOVED:
        return MOVED[name]
    if group == "validation" and monitor in (None, figure):
        return f"{FIRST}/{figure}"
    return f"{GROUPS.get(group, group)}{slash}{figure}"


def picture_tag(name: str) -> str:
    """The tag of a picture."""
    return f"4 pictures/{name}"


def text_tag(name: str) -> str:
    """The tag of a text, or of a table."""
    return f"1 texts/{name}"


def best_tags(metrics: Mapping[str, float], monitor: str | None = None) -> dict[str, float]:
    """The metrics of the best weights by their tags: the monitored one, and those that come with it."""
    return {
        f"(best)/{'' if monitor in (None, name) else 'with/'}{name}": value
        for name, value in metrics.items()
        if name != "seconds"
    }


def custom_scalars(
    charts: Mapping[str, Sequence[str]], monitor: str | None = None, unit: str = "examples"
) -> dict[str, dict[str, list]]:
    """The page of custom scalars, as `SummaryWriter.add_custom_scalars` takes it.

    Args:
        charts: names of figures by the title of the chart that shows them together, besides loss,
            learning rate, gradient norm, speeds, memory, and the monitored metric if it is in none.
            A name that ends in * stands for all that begin so. A chart stands among those of the group
            of its first name.
        monitor: as `scalar_tag` takes it.
        unit: what the speed counts besides examples.
    """
    charts = {
        "loss": ("train/loss", "validation/loss"),
        **charts,
        "learning rate": ("train/learning_rate*",),
        "gradient norm": ("train/gradient_norm",),
        **{f"{each} per second": (f"speed/{each}_per_second",) for each in (unit, "examples")},
        "memory": ("memory/*",),
    }
    if monitor is not None and not any(f"validation/{monitor}" in each for each in charts.values()):
        charts = {monitor.replace("_", " "): (f"validation/{monitor}",), **charts}
    pages: dict[str, dict[str, list]] = {"scores": {}, "training": {}, "speed and memory": {}}
    groups = {"validation": "scores", "speed": "speed and memory", "memory": "speed and memory"}
    for title, names in charts.items():
        page = groups.get(names[0].partition("/")[0], "training")
        pages[page][title] = ["Multiline", [_pattern(scalar_tag(each, monitor)) for each in names]]
    return {page: shown for page, shown in pages.items() if shown}


def _pattern(tag: str) -> str:
    """A regular expression that this tag matches and no longer one, unless it ends in *."""
    escaped = re.escape(tag.removesuffix("*")).replace(r"\ ", " ")
    return f"{escaped}.*" if tag.endswith("*") else f"{escaped}$"
