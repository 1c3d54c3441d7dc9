"""Lines, JSON and tables as they come from disk, whatever is in them."""

from __future__ import annotations

import gzip
import os
import time
import tracemalloc
from pathlib import Path
from threading import Thread

import pytest

from common.data.reading import (
    LONGEST_LINE,
    byte_lines,
    check_readable,
    decode_line,
    first_lines,
    numbered_lines,
)
from common.errors import UserError


def lines_of(path: Path) -> list[str]:
    return [decode_line(line) for line in byte_lines(path)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_line_ends_at_the_end_of_a_line_and_nowhere_else(tmp_path: Path, pack) -> None:
    odd = "one\u2028still one\u0085and\x0bstill\x0cone\x1c\x00\rhere"
    text = f"{odd}\r\n\n \n\ufefftwo\nlast"
    (tmp_path / "text").write_bytes(pack(b"\xef\xbb\xbf" + text.encode()))
    assert lines_of(tmp_path / "text") == [odd, "", " ", "\ufefftwo", "last"]
    assert [number for number, _ in numbered_lines(tmp_path / "text")] == [1, 4, 5]
    assert first_lines(tmp_path / "text") == [odd, "\ufefftwo", "last"]


def test_the_first_lines_are_a_hundred_and_uncut(tmp_path: Path) -> None:
    long = "x" * 100_000
    (tmp_path / "text").write_bytes(b"\n \n" + long.encode() + b"\nM\xe4dchen\n" + b"y\n\n" * 200)
    assert first_lines(tmp_path / "text") == [long, "M\ufffddchen"] + ["y"] * 98


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_empty_file_has_no_lines(tmp_path: Path, pack) -> None:
    (tmp_path / "text").write_bytes(pack(b""))
    assert lines_of(tmp_path / "text") == first_lines(tmp_path / "text") == []


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
def test_a_pipe_is_read_where_it_is_wanted_and_never_waited_for(tmp_path: Path, pack) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="pipe is not a regular file"):
        lines_of(pipe)
    writer = Thread(target=pipe.write_bytes, args=[pack(b"one\ntwo\n")], daemon=True)
    writer.start()
    with open(pipe, "rb") as stream:
        assert list(byte_lines(pipe, stream)) == [b"one\n", b"two\n"]
    writer.join()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_line_without_end_is_refused_by_its_number(tmp_path: Path, pack) -> None:
    path = tmp_path / "text"
    longest = b"x" * (LONGEST_LINE - 1) + b"\n"
    path.write_bytes(pack(b"one\n" + longest + b"three"))
    assert [len(line) for line in byte_lines(path)] == [4, LONGEST_LINE, 5]
    path.write_bytes(pack(b"one\n" + 20 * longest[:-1]))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"text:2: a line of more than 1,048,576 bytes"):
        lines_of(path)
    assert tracemalloc.get_traced_memory()[1] < 5 * LONGEST_LINE
    tracemalloc.stop()


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no such device here")
def test_a_device_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="/dev/zero is not a regular file"):
        lines_of(Path("/dev/zero"))
    stream = open("/dev/zero", "rb")  # noqa: SIM115 (`byte_lines` closes it)
    with pytest.raises(UserError, match="/dev/zero:1: a line of more"):
        list(byte_lines(Path("/dev/zero"), stream))


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
    assert list(byte_lines(Path("-"), os.fdopen(reading, "rb"))) == [b"one\n", b"two\n"]
    writer.join()


def test_what_is_no_text_file_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        lines_of(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is a folder"):
        lines_of(tmp_path)
    (tmp_path / "cut").write_bytes(gzip.compress(b"Hallo\n" * 100)[:-10])
    with pytest.raises(UserError, match="cut: a damaged or incomplete gzip file"):
        lines_of(tmp_path / "cut")
    with pytest.raises(UserError, match="cut: a damaged or incomplete gzip file"):
        check_readable(tmp_path / "cut")
    assert first_lines(tmp_path / "cut") == []  # not to be recognised, but nothing to stop at


def test_what_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("\nja\nMädchen\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"text:3: not UTF-8 text \(byte 0xe4\)"):
        list(numbered_lines(tmp_path / "text"))
    assert list(numbered_lines(tmp_path / "text", errors="replace"))[1] == (3, "M\ufffddchen")
