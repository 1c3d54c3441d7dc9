"""JSON lines and tables as they come from disk: what is damaged is one record, with its line."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.data.damage import Damage
from common.data.records import Records, Table, json_lines, tabbed_lines
from common.errors import UserError

Rows = Callable[..., list[tuple[int, Any]]]


def found(records: Records) -> list[tuple[int, Any]]:
    """Line numbers, with the texts of a record, or with what is wrong."""
    return [
        (number, str(each) if isinstance(each, Damage) else list(each.values()))
        for number, each in records
    ]


def test_json_lines_that_are_no_objects_are_damaged(tmp_path: Path) -> None:
    bad = ["{", "[]", "1" * 10_000, "[" * 100_000, '"x"', "\xff"]
    text = "\n".join(['{"a": 1}', "", *bad, '{"a": 2}']).encode("latin-1")
    (tmp_path / "x.gz").write_bytes(gzip.compress(text))
    records = list(json_lines(tmp_path / "x.gz"))
    assert records[0] == (1, {"a": 1}) and records[-1] == (9, {"a": 2})
    assert [number for number, each in records if isinstance(each, Damage)] == [3, 4, 5, 6, 7, 8]
    assert str(records[-2][1]) == "not UTF-8 text (byte 0xff)"


def test_columns_between_tabs_are_named_by_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a\tb\tc\nd\n \t \ne\tf\n")
    assert list(tabbed_lines(tmp_path / "x", 2))[0] == (1, {"1": "a", "2": "b", "3": "c"})
    assert found(tabbed_lines(tmp_path / "x", 2)) == [
        (1, ["a", "b", "c"]),
        (2, "1 column, where column 2 is needed"),
        (4, ["e", "f"]),
    ]


@pytest.mark.parametrize("header", ["a\t b,c", "a, b;c", "a; b|c", "a| b"])
def test_the_header_decides_what_is_between_fields(tmp_path: Path, header: str) -> None:
    (tmp_path / "x").write_text(f"\n  \n{header}\n{header}\n")
    table = Table(tmp_path / "x")
    assert table.header == 3 and len(table.columns) == 2
    assert table.columns[0] == "a" and not table.columns[1].startswith(" ")
    assert [number for number, _ in table] == [4]


def test_a_column_that_is_named_twice_is_read_twice(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("id,text,id,text,text\n1,a,2,b,c\n")
    ((_, row),) = Table(tmp_path / "x")
    assert row == {"id": "1", "text": "a", "id 2": "2", "text 2": "b", "text 3": "c"}


def test_a_header_that_is_not_utf8_is_named_or_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\nfran\xe7ais,de\n")
    with pytest.raises(UserError, match=r"x:2: not UTF-8 text \(byte 0xe7\)"):
        Table(tmp_path / "x")
    assert Table(tmp_path / "x", errors="replace").columns == ("fran\ufffdais", "de")


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Gives the rows of a table without its header, damaged ones as what is wrong with them."""

    def read(text: str, delimiter: str = ",") -> list[tuple[int, list[str] | str]]:
        path = tmp_path / "table"
        path.write_bytes(f"one{delimiter}two\n{text}\n".encode(errors="surrogateescape"))
        return found(Table(path))

    return read


QUOTES = (
    "a quote too few or too many (a text with commas or quotes in it needs double quotes around it)"
)


def test_a_row_may_take_several_lines(rows: Rows) -> None:
    assert rows('a,"b ""c"""\n"d\ne\nf",g\nh,i') == [
        (2, ["a", 'b "c"']),
        (3, ["d\ne\nf", "g"]),
        (6, ["h", "i"]),
    ]


def test_a_quote_that_is_never_closed_spoils_one_row(rows: Rows) -> None:
    found = rows('a,"b\n' + "\n".join(f"{n},x" for n in range(30)))
    assert found[0] == (2, QUOTES)
    assert found[1:] == [(n + 3, [str(n), "x"]) for n in range(30)]
    assert rows('a,"b\nc,d') == [(2, QUOTES), (3, ["c", "d"])]  # also where the file ends before


def test_quotes_that_are_damaged_spoil_one_row(rows: Rows) -> None:
    assert rows('"a" b,c\nd,e') == [(2, QUOTES), (3, ["d", "e"])]


def test_what_is_not_utf8_spoils_one_row(rows: Rows) -> None:
    damage = "not UTF-8 text (byte 0xe4)"
    bad = "M\udce4dchen"
    assert rows(f"{bad},a\nb,c") == [(2, damage), (3, ["b", "c"])]
    assert rows(f'a,"b\n{bad}\nc"\nd,e') == [(2, damage), (5, ["d", "e"])]
    assert rows(f'a,"b\n{bad},c\nd,e') == [(2, QUOTES), (3, damage), (4, ["d", "e"])]
    assert rows(f"{bad}|a\nb|c", "|") == [(2, damage), (3, ["b", "c"])]


def test_a_field_may_be_longer_than_the_csv_module_allows(rows: Rows) -> None:
    long, limit = "x" * 200_000, csv.field_size_limit()
    assert rows(f'{long},"{long}"\na,"b\nc,d') == [
        (2, [long, long]),
        (3, QUOTES),
        (4, ["c", "d"]),
    ]
    assert csv.field_size_limit() == limit < 200_000  # which is that of the whole process


def test_rows_of_another_width_are_damaged(rows: Rows) -> None:
    assert rows("a\tb\tc\nd\ne\tf", "\t") == [
        (2, "3 columns instead of 2"),
        (3, "1 column instead of 2"),
        (4, ["e", "f"]),
    ]


def test_between_bars_quotes_mean_nothing(rows: Rows) -> None:
    assert rows('a|"b|c\nd', "|") == [(2, ["a", '"b|c']), (3, "1 column instead of 2")]


def test_the_line_of_excel_names_the_delimiter(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeffsep=;\r\na;b, c\r\n1;2, 3\r\n")
    table = Table(tmp_path / "t.csv")
    assert (table.header, table.columns) == (2, ("a", "b, c"))
    assert [*table] == [(3, {"a": "1", "b, c": "2, 3"})]


def test_rows_with_another_delimiter_than_the_header_say_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1;2\n")
    ((number, damage),) = Table(tmp_path / "t.csv")
    assert (number, str(damage)) == (
        2,
        "1 column instead of 2 (between them is ';', and in the header ',')",
    )
