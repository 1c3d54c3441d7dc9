"""A column is read, and its windows know nothing of what comes after."""

from __future__ import annotations

import numpy as np
import pytest

from common.data.series import WindowedSeries, read_column
from common.errors import UserError


def test_a_column_by_name_by_number_and_without_names(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('"day","low, high",mean\n1/1,2,3.5\n2/1,4,5e1\n')
    assert read_column(path).tolist() == read_column(path, "mean").tolist() == [3.5, 50]
    assert read_column(path, "2").tolist() == read_column(path, "low, high").tolist() == [2, 4]
    path.write_text("1,2\n3,4\n")
    assert read_column(path).tolist() == [2, 4] and read_column(path, "1").tolist() == [1, 3]
    path.write_text("0,1\n3,4\n")
    assert read_column(path).tolist() == [4] and read_column(path, "0").tolist() == [3]
    path.write_text("2020-01,2\n2020-02,4\n")
    assert read_column(path).tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", "", "an empty file"),
        ("a,b\n1,2\n", "c", "no column 'c'; it has a, b"),
        ("a,b\n1,2\n3,\n", "", r"a\.csv:3: no number in column 'b'"),
        ("a\n1\n\ninf\n", "a", r"a\.csv:4: no number"),
    ],
)
def test_what_is_no_column_of_numbers_is_refused(tmp_path, text, column, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_column(path, column)


@pytest.mark.parametrize("scale", ["linear", "log", "sqrt"])
@pytest.mark.parametrize("season", [0, 5])
def test_forecasts_return_to_the_units_of_the_series(scale, season):
    values = np.random.default_rng(0).uniform(1, 9, 60)
    series = WindowedSeries(values, 40, 3, 4, season, (7,), scale)
    origins = series.origins(0, 60)
    assert origins[0] == 4 + season and origins[-1] == 57
    assert series.inputs(origins).shape == (len(origins), 4, 7)
    assert series.features(origins).shape == (len(origins), 4 + 6)
    back = series.forecasts(series.targets(origins), origins)
    np.testing.assert_allclose(back, values[series.steps(origins)], rtol=1e-5)


def test_the_future_changes_no_input():
    values = np.random.default_rng(0).uniform(1, 9, 60)
    series = WindowedSeries(values, 40, 3, 4, 5)
    other = WindowedSeries(np.r_[values[:40], values[40:] ** 2], 40, 3, 4, 5)
    origins = series.origins(0, 43)  # the last at 40, which sees 0 to 39 alone
    np.testing.assert_array_equal(series.inputs(origins), other.inputs(origins))
    for name, forecast in series.simple(origins).items():
        np.testing.assert_array_equal(forecast, other.simple(origins)[name])


def test_simple_forecasts():
    values = np.arange(40.0) + np.tile([0, 5], 20)
    series = WindowedSeries(values, 40, 2, 2, 2)
    at = np.array([30])
    simple = {name: series.forecasts(each, at)[0] for name, each in series.simple(at).items()}
    np.testing.assert_allclose(simple["season"], values[28:30], atol=1e-5)
    np.testing.assert_allclose(simple["growth"], values[30:32], atol=1e-5)
    last = WindowedSeries(values, 40, 2, 2)
    np.testing.assert_allclose(
        last.forecasts(last.simple(at)["last"], at)[0], values[29], rtol=1e-6
    )


def test_what_cannot_be_scaled_is_refused():
    with pytest.raises(ValueError, match="the log of a value, 0"):
        WindowedSeries(np.arange(9.0), 5, 1, 1, scale="log")
    with pytest.raises(ValueError, match="shorter than the horizon"):
        WindowedSeries(np.arange(9.0), 5, 3, 1, 2)
    with pytest.raises(ValueError, match="at least two steps"):
        WindowedSeries(np.arange(9.0), 5, 3, 1, cycles=(1,))
