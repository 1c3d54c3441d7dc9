"""Whether the first line of a table names its columns."""

from __future__ import annotations

import pytest

from seq2seq.columns import names_columns


@pytest.mark.parametrize(
    "header",
    [
        "English\tKorean",
        "english\tPortuguese",
        "en\tpt-BR",
        "ENG\tKOR",
        "source\ttarget",
        "source_text\ttarget_text",
        "English sentence\tKorean translation",
        "\ten\tzh_hans",  # as pandas writes its index
        "id\tEnglish\tid\tKorean",
        "question\tanswer\tlabel",
    ],
)
def test_a_header_is_seen(header: str) -> None:
    assert names_columns([header.split("\t"), ["x"] * (header.count("\t") + 1)])


@pytest.mark.parametrize(
    "pair",
    [
        "go\t가",
        "go\tva",
        "Go.\tGeh.",
        "English\t영어",
        "question\tpregunta",
        "no\tno",
        "Source\tSource",
        "English is spoken.\tOn parle anglais.",
        "English",
        "English\t",
        "\t",
        "1\t2",
    ],
)
def test_a_pair_of_sentences_is_none(pair: str) -> None:
    assert not names_columns([pair.split("\t"), ["x"] * (pair.count("\t") + 1)])


def test_words_above_a_column_of_numbers_are_a_header() -> None:
    rows = [["1", "Go.", "2", "Geh."], ["3", "Hi.", "4", "Hallo."], ["broken"]]
    assert names_columns([["Satznummer", "Deutsch", "numéro", "français"], *rows])
    assert not names_columns([["Hi.", "Hallo."], ["7", "8"], ["9", "10"]])
    assert not names_columns([["one", "eins"], ["2", "zwei"], ["drei", "3"]])
    assert not names_columns(rows)
    assert not names_columns([])
