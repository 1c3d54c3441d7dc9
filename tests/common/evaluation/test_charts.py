"""Charts of figures."""

from __future__ import annotations

import warnings

import matplotlib
import numpy as np
import pytest

from common.evaluation.charts import dot_chart, line_chart, maps_over_training
from common.evaluation.fonts import Fonts
from common.evaluation.heat_map import heat_map
from tests.common.evaluation.drawn import pixels


def test_a_logarithmic_chart_shows_small_values():
    lines = {"vanishes": [10.0**-n for n in range(9)], "is lost": [1.0, 0.0, 0.0]}
    plain, log = (line_chart(lines, "t", "norm", logarithmic=each) for each in (False, True))
    assert plain.size == log.size and (pixels(plain) != pixels(log)).any()


@pytest.mark.parametrize("rows", [1, 5])
def test_maps_over_training(rows: int):
    curves = np.logspace(-60, 10, rows * 7).reshape(rows, 7)
    maps = {"grows": curves, "nothing": np.zeros((rows, 7)), "lost": np.full((rows, 7), np.nan)}
    picture = maps_over_training(maps, list(range(rows)), "time step", "norm")
    assert picture.width > picture.height > 100
    assert maps_over_training({"a": np.zeros((rows, 2))}, list(range(rows)), "t", "n").width > 100
    for wrong in ({}, {"a": curves[:, 0]}, {"a": curves[:0]}, {"a": np.ones((rows + 1, 2))}):
        with pytest.raises(ValueError, match="maps must be"):
            maps_over_training(wrong, list(range(rows)), "t", "n")


def test_nothing_of_matplotlib_is_changed():
    settings, fonts = dict(matplotlib.rcParams), list(matplotlib.font_manager.fontManager.ttflist)
    line_chart({"개를": [1, 2]}, "시간", "β")
    heat_map(np.eye(2), ["개", "b"], ["c", "d"])
    assert dict(matplotlib.rcParams) == settings
    assert matplotlib.font_manager.fontManager.ttflist == fonts


ODD = "\udcff\x1b[2J\x0b \u202e a\u200d\n\u0301 \ue000 $x$ \U0001f9aa 中"


@pytest.mark.parametrize("fonts", [None, Fonts()])
def test_names_in_any_script_are_drawn_without_a_warning(fonts):
    """matplotlib warns of a letter that its font lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line_chart({"개를": [1, 2], "costs $5 or $6": [2, 1]}, "시간", "β", fonts=fonts)
        line_chart({ODD: [1, 2]}, ODD, ODD, fonts=fonts)
        heat_map(np.eye(2), [ODD, "a"], ["a", ODD], heading={"source": ODD}, fonts=fonts)
        dot_chart({"합계": {"개": (0.9, 0.1)}}, "정확도", {"합계": 0.5}, fonts=fonts)
        maps_over_training({"망": np.ones((2, 3))}, [0, 1], "시간", "경사", fonts=fonts)


def test_a_note_says_which_names_are_transliterated():
    for korean, latin in (
        (
            line_chart({"개": [1, 2]}, "t", "n", fonts=Fonts()),
            line_chart({"gae": [1, 2]}, "t", "n"),
        ),
        (
            dot_chart({"a": {"개": (0.9, 0.1)}}, "t", {"a": 0.5}, fonts=Fonts()),
            dot_chart({"a": {"gae": (0.9, 0.1)}}, "t", {"a": 0.5}),
        ),
    ):
        assert korean.width == latin.width and korean.height > latin.height
        assert np.array_equal(pixels(korean)[: latin.height], pixels(latin))


def test_a_dot_chart_has_a_panel_for_each_title_and_a_row_for_each_name():
    dots = {"LSTM": (0.9, 0.01), "GRU": (0.8, 0.02), "minGRU": (0.4, 0.0)}
    one = dot_chart({"sum": dots}, "accuracy", {"sum": 0.2})
    two = dot_chart({"sum": dots, "text": dots}, "accuracy", {"sum": 0.2, "text": 0.3})
    assert two.width > one.width and two.height == one.height
    few = dot_chart({"sum": {"LSTM": (0.9, 0.01)}}, "accuracy", {"sum": 0.2})
    assert few.height < one.height and (pixels(few) != 255).any()
