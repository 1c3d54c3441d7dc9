"""Errors for people: one line, whatever a library said."""

from __future__ import annotations

import pytest

from common.errors import one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("bad magic number."), "bad magic number"),
        (RuntimeError("\n  size mismatch:\n\tlayer 1\n"), "size mismatch:"),
        (EOFError(), "EOFError"),
    ],
)
def test_an_error_of_a_library_in_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line
