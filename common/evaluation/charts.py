"""Charts of figures, drawn by matplotlib, with names in any script.

`fonts` is where the letters are looked for, those of the system by default. No global setting of
matplotlib is changed, and no figure stays open.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

from common.evaluation.fonts import FONT, Fonts, system_fonts
from common.evaluation.sheet import headed


def line_chart(
    lines: Mapping[str, Sequence[float]],
    below: str,
    beside: str,
    *,
    logarithmic: bool = False,
    fonts: Fonts | None = None,
) -> Image.Image:
    """Lines over 0, 1, 2, ..., with a legend.

    Args:
        lines: the values of each by its name.
        below, beside: what the axes are.
        logarithmic: what is beside; a value of 0 is a gap.
    """
    figure = Figure((6.4, 4), dpi=100)
    axes = figure.add_axes((0.12, 0.13, 0.85, 0.84))
    for name, values in lines.items():
        axes.plot(values, label=name)
    if logarithmic:
        axes.set_yscale("log", nonpositive="mask")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(below)
    axes.set_ylabel(beside)
    axes.grid(alpha=0.3)
    axes.legend()
    return drawn(figure, fonts)


def dot_chart(
    panels: Mapping[str, Mapping[str, tuple[float, float]]],
    below: str,
    marked: Mapping[str, float],
    *,
    fonts: Fonts | None = None,
) -> Image.Image:
    """A value of each name as a dot, with its spread as a bar, in panels side by side.

    Args:
        panels: by title, the value and the spread of each name; the names are the same in all.
        below: what the values are.
        marked: by title, a value to compare with, drawn as a dashed line.
    """
    names = list(next(iter(panels.values())))
    figure = Figure((2 + 2.4 * len(panels), 0.9 + 0.24 * len(names)), dpi=100, layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, dots) in zip(row, panels.items(), strict=True):
        values, spreads = zip(*dots.values(), strict=True)
        axes.errorbar(values, range(len(names)), xerr=spreads, fmt="o", capsize=3)
        axes.axvline(marked[title], color="0.5", linestyle="--")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(below)
        axes.grid(alpha=0.3)
    fonts = system_fonts() if fonts is None else fonts
    row[0].set_yticks(range(len(names)), [fonts.in_one(name)[0] for name in names])
    row[0].set_ylim(len(names) - 0.5, -0.5)
    return drawn(figure, fonts, fonts.lacking(" ".join(names)))


def maps_over_training(
    maps: Mapping[str, ArrayLike],
    updates: Sequence[int],
    beside: str,
    of: str,
    *,
    fonts: Fonts | None = None,
) -> Image.Image:
    """Curves over training as colours, as the norm of a gradient at every time step: one logarithmic
    scale for all maps.

    Args:
        maps: (N, T) by name: a curve for each of N validations, not negative.
        updates: N, at which.
        beside: what the T values of a curve are over.
        of: what they are.

    Raises:
        ValueError: the shapes do not fit together, or there is nothing to show.
    """
    values = {name: np.asarray(rows, dtype=np.float64) for name, rows in maps.items()}
    if not values or any(
        len(v) != len(updates) or v.ndim != 2 or not v.size for v in values.values()
    ):
        raise ValueError(f"maps must be (N, T) and not empty, with N = {len(updates)} updates")
    every = np.concatenate([each.ravel() for each in values.values()])
    every = every[np.isfinite(every) & (every > 0)]
    # Twelve decades below the median: of what is less, nobody sees a difference.
    high = float(every.max()) if every.size else 1.0
    low = max(float(every.min()), 1e-12 * float(np.median(every))) if every.size else 0.1
    lines = math.ceil(len(values) / 5)
    columns = math.ceil(len(values) / lines)
    width, height = 2.0 + 2.2 * columns, 0.8 + 2.2 * lines  # inches
    figure = Figure((width, height), dpi=100)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True, gridspec_kw={
        "left": 0.85 / width, "right": 1 - 1.1 / width, "bottom": 0.5 / height,
        "top": 1 - 0.3 / height, "wspace": 0.1, "hspace": 0.2,
    })  # fmt: skip
    ends = [*updates, 2 * updates[-1] - updates[-2] if len(updates) > 1 else updates[-1] + 1]
    scale = LogNorm(low, max(high, 2 * low))
    for axes in grid.flat[len(values) :]:
        axes.set_axis_off()
    for axes, (name, rows) in zip(grid.flat, values.items(), strict=False):
        edges = np.arange(rows.shape[1] + 1)
        mesh = axes.pcolormesh(ends, edges, np.clip(rows, low, high).T, cmap="magma", norm=scale)
        axes.set_title(name, fontsize=10)
    figure.supxlabel("updates", fontsize=10)
    figure.supylabel(beside, x=0.12 / width, fontsize=10)
    bar = figure.add_axes((1 - 0.95 / width, 0.5 / height, 0.15 / width, 1 - 0.8 / height))
    figure.colorbar(mesh, cax=bar, label=of)
    return drawn(figure, fonts)


def drawn(figure: Figure, fonts: Fonts | None = None, spelt: Iterable[str] = ()) -> Image.Image:
    """A figure as a picture; each text that was given to it is in a font that has its letters.

    A note is below it where letters have no font; `spelt` are scripts in it that were spelt before.
    """
    fonts, lacking = system_fonts() if fonts is None else fonts, set(spelt)
    for text in figure.findobj(Text):
        if given := text.get_text():  # the numbers beside the axes come with the drawing
            written, file = fonts.in_one(given)
            lacking |= fonts.lacking(given)
            text.set(text=written, parse_math=False)
            if file != FONT:
                style = text.get_fontproperties().copy()
                style.set_file(file)
                text.set_fontproperties(style)
    bytes_of = io.BytesIO()
    figure.savefig(bytes_of, format="png")
    picture = Image.open(bytes_of).convert("RGB")
    return headed(picture, None, lacking, fonts) if lacking else picture
