"""The names under which TensorBoard shows what a training reports.

TensorBoard sorts its cards by their tags, groups them by what is before the first slash, and opens the
first two groups. The numbers put the scores first and the losses second. Where several runs are
compared (HParams), columns are sorted too, and the first five are shown: there a parenthesis comes
before a digit, and on the other pages after it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

LOSSES = {"train/loss": "2 loss/training", "validation/loss": "2 loss/validation"}
GROUPS = {"train": "4 training", "speed": "6 speed", "memory": "7 memory"}
SECONDS = "validation/seconds"  # that a validation takes: a speed, and no score


def scalar_tag(name: str, scores: Collection[str] = ()) -> str:
    """The tag of a figure.

    Args:
        name: as `Tracker.scalars` takes it; one of another group is its own tag.
        scores: the metrics of a validation that are shown first; empty: all but the loss.
    """
    group, _, metric = name.partition("/")
    if name in LOSSES:
        return LOSSES[name]
    if name == SECONDS:
        return f"{GROUPS['speed']}/validation_seconds"
    if group == "validation":
        return f"{'3 validation' if scores and metric not in scores else '1 scores'}/{metric}"
    return f"{GROUPS.get(group, group)}/{metric}" if metric else name


def picture_tag(name: str) -> str:
    """The tag of a picture."""
    return f"5 pictures/{name}"


def best_tags(
    metrics: Mapping[str, float], monitor: str | None, scores: Collection[str] = ()
) -> dict[str, float]:
    """The scores of the best weights by their tags, the monitored one before what comes with it.

    Args:
        metrics: of their validation.
        monitor: the metric that chose them; None: all are alike.
        scores: as `scalar_tag` takes them.
    """
    chosen = [
        name for name in metrics if name == monitor or f"validation/{name}" not in (SECONDS, *LOSSES)
    ]
    if scores:
        chosen = [name for name in chosen if name == monitor or name in scores]
    return {
        f"(best)/{name if monitor in (None, name) else f'with/{name}'}": metrics[name]
        for name in chosen
    }


def custom_scalars(
    charts: Mapping[str, Sequence[str]], scores: Collection[str] = ()
) -> dict[str, dict[str, list]]:
    """The page of custom scalars, as `SummaryWriter.add_custom_scalars` takes it.

    Args:
        charts: names of figures by the title of the chart that shows them together; a name that ends
            in * stands for all that begin so. A chart stands with others of its first name's group.
            Those of loss, learning rate, gradient norm and memory stand beside them.
        scores: as `scalar_tag` takes them.
    """
    charts = {
        "loss": ("train/loss", "validation/loss"),
        **charts,
        "learning rate": ("train/learning_rate*",),
        "gradient norm": ("train/gradient_norm",),
        "memory": ("memory/*",),
    }
    pages: dict[str, dict[str, list]] = {"scores": {}, "training": {}, "speed and memory": {}}
    groups = {"validation": "scores", "speed": "speed and memory", "memory": "speed and memory"}
    for title, names in charts.items():
        patterns = [_pattern(scalar_tag(name, scores)) for name in names]
        page = groups.get(names[0].partition("/")[0], "training")
        pages[page][title] = ["Multiline", patterns]
    return {page: shown for page, shown in pages.items() if shown}


def _pattern(tag: str) -> str:
    """A regular expression that this tag matches, and no longer one, unless it ends in *."""
    escaped = re.escape(tag.removesuffix("*")).replace(r"\ ", " ")
    return f"{escaped}.*" if tag.endswith("*") else f"{escaped}$"
