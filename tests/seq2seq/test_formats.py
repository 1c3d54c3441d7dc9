"""Sentences in any two columns: which are chosen, and that it is said why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import UserError
from seq2seq.data import ParallelData, load

PAIRS = [(f"Go {n} times.", f'"Geh" {n} mal.') for n in range(12)]


def table(folder: Path, name: str, *columns: str, header: str = "") -> Path:
    """A file of pairs: each column is what the format string gives for {s}, {t} and {n}."""
    rows = [
        "\t".join(column.format(s=source, t=target, n=1000 + 7 * number) for column in columns)
        for number, (source, target) in enumerate(PAIRS)
    ]
    (folder / name).write_text("".join(f"{row}\n" for row in ([header] if header else []) + rows))
    return folder


def read(folder: Path, **options: str) -> tuple[ParallelData, list[tuple[str, str]]]:
    data = load(folder, val_fraction=0, test_fraction=0, **options)
    assert data.problems == []
    return data, [(pair.source, pair.target) for pair in data.split("train")]


@pytest.mark.parametrize(
    ("columns", "chosen", "note"),
    [
        (["{n}", "{s}", "{n}1", "{t}"], ("2", "4"), "; not read: 1 (numbers), 3 (numbers)"),
        (["{n}", "{s}", "{t}"], ("2", "3"), "; not read: 1 (numbers)"),
        (["{s}", "0.{n}", "{t}"], ("1", "3"), "; not read: 2 (numbers)"),
        (["https://a.org/{n}", "{s}", "{t}"], ("2", "3"), "; not read: 1 (addresses)"),
        (
            ["eng", "{s}", "deu", "{t}"],
            ("2", "4"),
            "; not read: 1 (always the same), 3 (always the same)",
        ),
        (["{s}", "{t}", "CC-BY {n}"], ("1", "2"), ", the first two with sentences; not read: 3"),
    ],
)
def test_columns_without_sentences_are_no_languages(
    tmp_path: Path, columns: list[str], chosen: tuple[str, str], note: str
) -> None:
    table(tmp_path, "pairs.tsv", *columns)
    data, pairs = read(tmp_path)
    assert (data.format, data.source_language, data.target_language) == ("tabs", *chosen)
    assert pairs == PAIRS
    assert data.notes == [f"pairs.tsv: columns {' and '.join(chosen)}{note}"]
    assert read(tmp_path, source=chosen[1])[1] == [(target, source) for source, target in PAIRS]


def test_what_the_user_names_is_taken(tmp_path: Path) -> None:
    table(tmp_path, "x.tsv", "{n}", "{s}", "{t}")
    data, pairs = read(tmp_path, source="1", target="3")
    assert pairs[0] == ("1000", PAIRS[0][1])
    assert data.notes == ["x.tsv: columns 1 (numbers) and 3, as named; not read: 2"]


def test_of_two_columns_both_are_taken_and_numbers_are_said(tmp_path: Path) -> None:
    table(tmp_path, "x.txt", "{s}", "{t}")
    assert read(tmp_path)[0].notes == []
    table(tmp_path, "x.txt", "{n}", "{t}")
    data, pairs = read(tmp_path)
    assert pairs[0] == ("1000", PAIRS[0][1])
    assert data.notes == ["x.txt: columns 1 (numbers) and 2"]


def test_a_list_of_sentences_in_one_language_is_refused(tmp_path: Path) -> None:
    table(tmp_path, "sentences.tsv", "{n}", "eng", "{s}")
    with pytest.raises(
        UserError, match=r"no two columns with sentences among 1 \(numbers\), 2 \(al"
    ):
        load(tmp_path)


@pytest.mark.parametrize("ending", ["tsv", "tab", "txt"])
@pytest.mark.parametrize(
    ("columns", "header", "unread"),
    [
        (["{s}", "{t}"], "English\tGerman", ""),
        (["{n}", "{s}", "{n}", "{t}"], "id\tEnglish\tid\tGerman", "; not read: id, id 2"),
        (
            ["{n}", "{s}", "{t}"],
            "Sentence id\tEnglish\tGerman",
            "; not read: Sentence id (numbers)",
        ),
    ],
)
def test_a_header_names_the_languages_and_is_no_pair(
    tmp_path: Path, ending: str, columns: list[str], header: str, unread: str
) -> None:
    table(tmp_path, f"x.{ending}", *columns, header=header)
    data, pairs = read(tmp_path)
    assert (data.source_language, data.target_language) == ("English", "German")
    assert pairs == PAIRS  # with the quotation marks that they begin with
    assert data.notes == [
        f"x.{ending}: columns English and German{unread}; its first line names them"
    ]
    # Read as what it is not, the first line is still no pair.
    data, pairs = read(tmp_path, format="tabs")
    assert pairs == PAIRS and "no pair" in data.notes[-1]


def test_a_second_column_of_ids_is_none_of_sentences(tmp_path: Path) -> None:
    table(tmp_path, "x.tsv", "a{n}", "{s}", "b{n}", "{t}", header="id\ten\tid\tde")
    assert read(tmp_path)[1] == PAIRS


def test_columns_of_numbers_are_no_languages_in_csv_and_in_json_lines(tmp_path: Path) -> None:
    for name in ("csv", "jsonl"):
        (tmp_path / name).mkdir()
    rows = [{"score": "0.5", "en": source, "de": target} for source, target in PAIRS]
    (tmp_path / "jsonl" / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data, pairs = read(tmp_path / "jsonl")
    assert pairs == PAIRS
    assert data.notes == ["x.jsonl: keys en and de; not read: score (numbers)"]
    text = "".join(f'0.5,{en},"{de.replace(chr(34), 2 * chr(34))}"\n' for en, de in PAIRS)
    (tmp_path / "csv" / "x.csv").write_text(f"score,en,de\n{text}")
    data, pairs = read(tmp_path / "csv")
    assert pairs == PAIRS
    assert data.notes == [
        "x.csv: columns en and de; not read: score (numbers); its first line names them"
    ]


def test_a_folder_with_a_link_to_itself_is_read(tmp_path: Path) -> None:
    table(tmp_path, "x.tsv", "{s}", "{t}")
    (tmp_path / "loop.tsv").symlink_to(tmp_path / "loop.tsv")
    assert read(tmp_path)[1] == PAIRS
