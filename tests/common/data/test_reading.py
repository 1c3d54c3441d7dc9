"""Lines, JSON and tables as they come from disk, whatever is in them."""

from __future__ import annotations

import csv
import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from common.data.damage import Damage
from common.data.reading import (
    LineFile,
    decode_line,
    first_line,
    first_lines,
    header_line,
    json_object,
    numbered_lines,
    table_rows,
)
from common.errors import UserError

Rows = Callable[..., list[tuple[int, list[str] | str]]]


def lines_of(path: Path) -> list[str]:
    with LineFile(path) as lines:
        return [decode_line(line) for line in lines]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_line_ends_at_the_end_of_a_line_and_nowhere_else(tmp_path: Path, pack) -> None:
    odd = "one\u2028still one\u0085and\x0bstill\x0cone\x1c\x00\rhere"
    text = f"{odd}\r\n\n \n\ufefftwo\nlast"
    (tmp_path / "text").write_bytes(pack(b"\xef\xbb\xbf" + text.encode()))
    assert lines_of(tmp_path / "text") == [odd, "", " ", "\ufefftwo", "last"]
    assert [number for number, _ in numbered_lines(tmp_path / "text")] == [1, 4, 5]
    assert list(first_lines(tmp_path / "text")) == [odd, "\ufefftwo", "last"]
    assert first_line(tmp_path / "text") == odd


def test_the_first_lines_are_a_hundred_and_uncut(tmp_path: Path) -> None:
    long = "x" * 100_000
    (tmp_path / "text").write_bytes(b"\n \n" + long.encode() + b"\nM\xe4dchen\n" + b"y\n\n" * 200)
    assert list(first_lines(tmp_path / "text")) == [long, "M\ufffddchen"] + ["y"] * 98
    assert header_line(tmp_path / "text") == (3, long)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_empty_file_has_no_lines(tmp_path: Path, pack) -> None:
    (tmp_path / "text").write_bytes(pack(b""))
    assert lines_of(tmp_path / "text") == []
    assert first_line(tmp_path / "text") == ""
    assert header_line(tmp_path / "text") == (1, "")


def test_a_compressed_file_that_is_cut_off_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "text.gz"
    whole = gzip.compress("".join(f"line {n}\n" for n in range(10_000)).encode())
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    for data in (whole[: len(whole) // 2], whole[:-4], bytes(damaged), whole + b"tail"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"text.gz: a damaged or incomplete gzip file"):
            lines_of(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read_like_a_file(tmp_path: Path, pack) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_bytes, args=[pack(b"one\ntwo\n")], daemon=True)
    writer.start()
    assert lines_of(tmp_path / "pipe") == ["one", "two"]
    writer.join()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_comes_through_a_pipe_may_come_byte_by_byte(pack) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file:
            for byte in pack(b"one\ntwo\n"):
                file.write(bytes([byte]))
                time.sleep(0.002)

    writer = Thread(target=write, daemon=True)
    writer.start()
    with LineFile(Path("-"), os.fdopen(reading, "rb")) as lines:
        assert list(lines) == [b"one\n", b"two\n"]
    writer.join()


def test_what_is_no_text_file_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        LineFile(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is a folder"):
        LineFile(tmp_path)
    for pack in (gzip.compress, bytes):
        (tmp_path / "wide").write_bytes(pack("Hallo\n".encode("utf-16")))
        with pytest.raises(UserError, match="wide: UTF-16, not UTF-8"):
            lines_of(tmp_path / "wide")
    assert first_line(tmp_path / "wide") == ""  # not to be recognised, but nothing to stop at


def test_what_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("\nja\nMädchen\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"text:3: not UTF-8 text \(byte 0xe4\)"):
        list(numbered_lines(tmp_path / "text"))
    assert list(numbered_lines(tmp_path / "text", errors="replace"))[1] == (3, "M\ufffddchen")


@pytest.mark.parametrize("line", ["", "{", "[]", "1" * 10_000, "[" * 100_000, '"x"'])
def test_what_is_no_json_object_is_damage(line: str) -> None:
    with pytest.raises(Damage):
        json_object(line)
    assert json_object('{"a": 1}') == {"a": 1}


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Gives the rows of a table without its header, damaged ones as what is wrong with them."""

    def read(text: str, delimiter: str = ",", width: int = 2) -> list[tuple[int, list[str] | str]]:
        path = tmp_path / "table"
        path.write_bytes(f"header\n{text}\n".encode(errors="surrogateescape"))
        found = table_rows(path, delimiter, width)
        return [(n, str(row) if isinstance(row, Damage) else row) for n, row in found]

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
