"""The captions in a field of a record: one, a list, or the text of a list."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from captioning.entries import captions_in
from common.data.damage import Damage

TEXTS = ['A dog, "Rex", runs.', "It's a dog.", "Ein Hund läuft", "two\nlines"]


@pytest.mark.parametrize(
    "written",
    [
        TEXTS,
        json.dumps(TEXTS),
        json.dumps(TEXTS, ensure_ascii=False, indent=2),
        repr(TEXTS),
        f" {TEXTS!r} ",
        str(np.array(TEXTS)),  # without commas, on several lines
        str(np.array(TEXTS, dtype=object)),
        repr([TEXTS[:2], TEXTS[2:]]),
    ],
)
def test_a_list_is_read_however_it_is_written(written: Any) -> None:
    assert captions_in(written) == TEXTS


@pytest.mark.parametrize(
    "text",
    ["A dog", "[unreadable sign]", "a [sic] dog [sic]", "[A dog] runs", '"A dog"', "", "[", 3],
)
def test_what_is_no_list_is_one_caption(text: Any) -> None:
    assert captions_in(text) == [text]


@pytest.mark.filterwarnings("error")
def test_an_escape_that_python_does_not_know_is_kept() -> None:
    assert captions_in(r"['a \d dog', 'it\'s']") == [r"a \d dog", "it's"]


def test_an_empty_list_has_no_caption() -> None:
    assert captions_in("[]") == captions_in(" [ ] ") == captions_in([]) == []


@pytest.mark.parametrize(
    "text",
    [
        "['A dog runs', 'A do",  # cut at 255 characters, as spreadsheets do
        '["A dog", }',
        "['A dog', open('x')]",
        "['A dog' + 'x']",
        "[{'raw': 'A dog'}]",
        "['A dog', f'{1}']",
        "['\0']",
        "['A dog",
        "[" * 100_000 + "'x'",
    ],
)
def test_a_list_that_cannot_be_read_is_damaged(text: str) -> None:
    with pytest.raises(Damage, match="a list of captions that cannot be read"):
        captions_in(text)
