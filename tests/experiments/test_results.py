"""The tables of the READMEs are those that results.csv gives."""

from __future__ import annotations

import pytest

from common.errors import UserError
from experiments.results import FIELDS, PAGES, Result, chosen, markers, read, table, with_tables


def row(**known: str) -> Result:
    return Result(**dict.fromkeys(FIELDS, "") | known)


def test_the_tables_are_current():
    results = read()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert with_tables(text, results) == text, "run python -m experiments.results"


def test_every_result_is_in_a_table():
    results = read()
    shown = {result for marker in markers() for result in chosen(results, marker)[0]}
    assert set(results) == shown


def test_what_a_result_says():
    for result in read():
        assert result.experiment and result.setting and result.metric and result.value
        assert result.precision in ("", "fp32", "bf16")
        assert "|" not in "".join(getattr(result, name) for name in FIELDS)
        assert not result.cpu_minutes or float(result.cpu_minutes) > 0


def test_a_table_has_a_column_for_each_metric_or_for_what_else_is_named():
    results = [
        row(experiment="e", setting="small", metric="loss", value="2", spread="0.1"),
        row(experiment="e", setting="small", metric="right", value="3", cpu_minutes="1.5"),
        row(experiment="e", setting="large", metric="loss", value="1"),
        row(experiment="other", setting="small", metric="loss", value="9"),
    ]
    text = "before\n<!-- results: e -->\nold\n<!-- end -->\nafter\n"
    assert with_tables(text, results) == (
        "before\n<!-- results: e -->\n\n"
        "| setting | loss | right | CPU-minutes |\n| --- | --- | --- | --- |\n"
        "| small | 2 (0.1) | 3 | 1.5 |\n| large | 1 |  |  |\n"
        "\n<!-- end -->\nafter\n"
    )
    turned = table(*chosen(results, "e; metric: loss; columns: setting"))
    assert turned == "| small | large |\n| --- | --- |\n| 2 (0.1) | 1 |\n"


def test_what_cannot_be_a_table_is_refused(tmp_path):
    results = [row(experiment="e", setting="s", metric="m", value=each) for each in "12"]
    with pytest.raises(UserError, match="1 and 2 are both of"):
        table(*chosen(results, "e"))
    with pytest.raises(UserError, match="no column 'colour'"):
        chosen(results, "e; colour: red")
    with pytest.raises(UserError, match="no such row"):
        chosen(results, "f")
    path = tmp_path / "results.csv"
    path.write_text("experiment,value\n")
    with pytest.raises(UserError, match="its columns must be"):
        read(path)
    path.write_text(",".join(FIELDS) + "\na,b\n")
    with pytest.raises(UserError, match="row 2 has 2 columns"):
        read(path)
