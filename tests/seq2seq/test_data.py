"""Every format that parallel text comes in, and every way in which it can be damaged."""

from __future__ import annotations

import gzip
import json
import pickle
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from common.data.formats import Format
from common.data.pairs import RecordPairs
from common.data.reading import numbered_lines
from common.data.records import Records
from common.data.splits import seeded_split
from common.errors import UserError
from seq2seq.columns import choose
from seq2seq.data import MOST_HELD_OUT, Pair, ParallelData, load
from seq2seq.entries import Read, Reading


def write(folder: Path, name: str, *lines: str, end: str = "\n") -> Path:
    """A file of lines, compressed if its name ends in .gz."""
    folder.mkdir(parents=True, exist_ok=True)
    data = "".join(line + end for line in lines).encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder / name


def pairs(data: ParallelData, split: str = "train") -> list[tuple[str, str]]:
    return [tuple(pair) for pair in data.splits[split]]


def all_pairs(data: ParallelData) -> list[tuple[str, str]]:
    return [pair for split in data.splits for pair in pairs(data, split)]


def lenient(path: Path, **options) -> ParallelData:
    """Load whatever is usable, all of it for training if the data has no splits."""
    return load(path, max_problems=1.0, val_fraction=0, test_fraction=0, **options)


# ---- lines


@pytest.fixture
def multi(tmp_path: Path) -> Path:
    """Three languages, as Multi30k has them."""
    for language in ("de", "en", "fr"):
        write(tmp_path, f"train.{language}.gz", f"{language} 1", f"{language} 2")
        write(tmp_path, f"valid.{language}.gz", f"{language} 3")
        write(tmp_path, f"test_2016_flickr.{language}", f"{language} 4")
    for split in ("train", "valid", "test_2016_flickr"):
        write(tmp_path, f"{split}.images.txt", "1.jpg", "2.jpg", "3.jpg")
    write(tmp_path, "README.md", "Read me")
    return tmp_path


def test_every_stem_with_both_languages_is_a_split(multi: Path) -> None:
    data = load(multi, source="de", target="fr")
    assert data.format == "lines"
    assert (data.source_language, data.target_language) == ("de", "fr")
    assert list(data.splits) == ["train", "val", "test_2016_flickr"]
    assert pairs(data) == [("de 1", "fr 1"), ("de 2", "fr 2")]
    assert pairs(data, "val") == [("de 3", "fr 3")]
    assert pairs(data, "test_2016_flickr") == [("de 4", "fr 4")]
    assert data.problems == data.notes == []


def test_more_than_two_languages_must_be_named(multi: Path) -> None:
    for options in ({}, {"source": "de"}, {"target": "en"}):
        with pytest.raises(UserError, match="the languages de, en, fr are there. Name two"):
            load(multi, **options)
    with pytest.raises(UserError, match="no 'ko' among the languages de, en, fr"):
        load(multi, source="de", target="ko")
    with pytest.raises(UserError, match="source and target are both 'de'"):
        load(multi, source="de", target="de")


def test_two_languages_need_no_names_and_one_name_gives_the_other(tmp_path: Path) -> None:
    write(tmp_path, "train.pt-BR", "um")
    write(tmp_path, "train.en", "one")
    assert pairs(load(tmp_path)) == [("one", "um")]
    assert pairs(load(tmp_path, source="pt-BR")) == [("um", "one")]
    assert pairs(load(tmp_path, target="en")) == [("um", "one")]


def test_a_stem_without_one_of_the_languages_is_left_out(multi: Path) -> None:
    (multi / "valid.de.gz").unlink()
    data = load(multi, source="de", target="fr")
    assert list(data.splits) == ["train", "test_2016_flickr"]
    assert data.notes == ["left out, because de or fr is missing: valid"]


def test_two_texts_of_one_split_are_not_guessed_among(multi: Path) -> None:
    write(multi, "dev.de", "x")
    write(multi, "dev.en", "x")
    with pytest.raises(UserError, match=r"more than one text of the split val.*dev.de.*valid.de"):
        load(multi, source="de", target="en")


def test_a_plain_file_wins_over_its_compressed_twin(multi: Path) -> None:
    write(multi, "train.de", "plain 1", "plain 2")
    assert pairs(load(multi, source="de", target="en"))[0] == ("plain 1", "en 1")


def test_lines_without_splits_are_split_by_the_seed(tmp_path: Path) -> None:
    write(tmp_path, "europarl-v7.de-en.de", *(f"Satz {n}" for n in range(300)))
    write(tmp_path, "europarl-v7.de-en.en", *(f"sentence {n}" for n in range(300)))
    data = load(tmp_path, seed=4, val_fraction=0.2, test_fraction=0.2)
    assert list(data.splits) == ["train", "val", "test"]
    assert sorted(all_pairs(data)) == sorted((f"Satz {n}", f"sentence {n}") for n in range(300))
    # A test set alone is not cut into pieces.
    write(tmp_path / "other", "newstest2014.de", "x")
    write(tmp_path / "other", "newstest2014.en", "y")
    assert list(load(tmp_path / "other").splits) == ["newstest2014"]


def test_unequal_line_counts_name_both_files_and_both_counts(tmp_path: Path) -> None:
    write(tmp_path, "train.de.gz", *["ja"] * 5003)
    write(tmp_path, "train.en", *["yes"] * 5001)
    with pytest.raises(UserError) as raised:
        load(tmp_path)
    message = str(raised.value)
    assert "train.de.gz has 5,003 lines" in message and "train.en has 5,001" in message
    assert "\n" not in message


def test_lines_stay_aligned_whatever_is_in_them(tmp_path: Path) -> None:
    odd = "a\u2028b\u0085c\x0bd\x00e\x1cf"
    long = "lang " * 20_000
    write(tmp_path, "test.de", odd, "", " ", long, "Ende", end="\r\n")
    write(tmp_path, "test.en", "odd", "blank", "", "long\t", "end")
    data = load(tmp_path)
    assert pairs(data, "test") == [
        (odd, "odd"),
        ("", "blank"),
        (" ", ""),
        (long, "long\t"),
        ("Ende", "end"),
    ]
    assert data.splits["test"].longest == [20_000, 1]
    assert data.notes == ["test: 2 pairs have an empty side"]
    assert data.problems == []


def test_what_is_not_utf8_is_listed_and_read_as_an_empty_sentence(tmp_path: Path) -> None:
    (tmp_path / "test.de").write_bytes(b"M\xe4dchen \xff\x81\ngut\nsch\xf6n\n")  # in no encoding
    write(tmp_path, "test.en", "girl", "good", "beautiful")
    with pytest.raises(UserError, match=r"2 of 3 pairs are damaged.*test.de:1: not UTF-8"):
        load(tmp_path)
    (tmp_path / "test.en").write_bytes(b"girl\ng\xf6\xff\x81\nbeautif\xfcl\n")
    with pytest.raises(UserError, match=r"3 of 3 pairs are damaged"):  # one on both sides
        load(tmp_path)
    write(tmp_path, "test.en", "girl", "good", "beautiful")
    data = lenient(tmp_path)
    assert pairs(data, "test") == [("", "girl"), ("gut", "good"), ("", "beautiful")]
    assert data.problems == [
        "test.de:1: not UTF-8 text (byte 0xe4)",
        "test.de:3: not UTF-8 text (byte 0xf6)",
    ]


def test_phrases_go_from_english_to_korean(tmp_path: Path) -> None:
    write(tmp_path, "phrases.json", "{}")
    for split in ("train", "val", "val_held_out"):
        write(tmp_path, f"{split}.en", "the cat sleeps .")
        write(tmp_path, f"{split}.ko", "고양이가 잔다 .")
    data = load(tmp_path)
    assert data.format == "phrases"
    assert list(data.splits) == ["train", "val", "val_held_out"]
    assert pairs(data, "val_held_out") == [("the cat sleeps .", "고양이가 잔다 .")]
    assert pairs(load(tmp_path, source="ko")) == [("고양이가 잔다 .", "the cat sleeps .")]


# ---- tabs


def test_tabs_with_an_attribution(tmp_path: Path) -> None:
    credit = "CC-BY 2.0 (France) Attribution: tatoeba.org #1 (CM) & #2 (x)"
    write(tmp_path, "deu.txt", f"Go.\tGeh.\t{credit}", f"Hi.\tHallo!\t{credit}")
    write(tmp_path, "_about.txt", "This file is from")
    data = lenient(tmp_path)
    assert data.format == "tabs"
    assert pairs(data) == [("Go.", "Geh."), ("Hi.", "Hallo!")]
    assert pairs(lenient(tmp_path, source="2")) == [("Geh.", "Go."), ("Hallo!", "Hi.")]
    assert pairs(lenient(tmp_path / "deu.txt", source="2", target="1"))[0] == ("Geh.", "Go.")
    with pytest.raises(UserError, match="no 'en' among the columns 1, 2"):
        load(tmp_path, source="en")


def test_tabs_of_tatoebas_own_site(tmp_path: Path) -> None:
    write(tmp_path, "pairs.tsv", "1276\tGo.\t8\tGeh.")
    assert pairs(lenient(tmp_path, source="4", target="2")) == [("Geh.", "Go.")]


def test_a_source_sentence_never_falls_into_two_splits(tmp_path: Path) -> None:
    lines = [f"Sentence  {n // 4}.\tSatz {n}" for n in range(800)]
    lines += [f"sentence {n}.\tsatz {n}" for n in range(200)]
    write(tmp_path, "deu.txt", *lines)
    data = load(tmp_path, val_fraction=0.2, test_fraction=0.2)
    found = [
        {" ".join(source.lower().split()) for source, _ in pairs(data, split)}
        for split in ("train", "val", "test")
    ]
    assert all(found) and sum(map(len, found)) == len(set.union(*found)) == 200
    assert len(all_pairs(data)) == len(lines)
    for split in data.splits:
        for source, _ in pairs(data, split):
            sentence = " ".join(source.casefold().split())
            assert split == seeded_split(sentence, 0, 0.2, 0.2)


def test_no_more_is_held_out_than_can_be_translated_at_each_validation(tmp_path: Path) -> None:
    lines = [(f"sentence {n}", f"Satz {n}") for n in range(12_000)]
    write(tmp_path, "deu.txt", "damaged", *map("\t".join, lines))
    data = load(tmp_path, val_fraction=0.45, test_fraction=0.05)
    expected = {"train": [], "val": [], "test": []}
    for pair in lines:
        expected[seeded_split(pair[0], 0, 0.45, 0.05)].append(pair)
    assert len(expected["val"]) > len(data.split("val")) == MOST_HELD_OUT
    assert pairs(data, "test") == expected["test"]  # few enough: as ever
    held_out = {*pairs(data, "val"), *expected["test"]}
    assert held_out < {*expected["val"], *expected["test"]}
    assert pairs(data) == [pair for pair in lines if pair not in held_out]
    assert data.problems == ["deu.txt:1: 1 column, where column 2 is needed"]


# ---- jsonl


def test_json_lines_flat_and_as_hugging_face_has_them(tmp_path: Path) -> None:
    for name, record in (
        ("flat", {"id": "7", "en": "a", "de": "b"}),
        ("nested", {"id": 7, "translation": {"en": "a", "de": "b"}}),
    ):
        write(tmp_path / name, "data.jsonl", json.dumps(record))
        data = lenient(tmp_path / name)
        assert data.format == "jsonl"
        assert (data.source_language, data.target_language) == ("en", "de")
        assert pairs(data) == [("a", "b")]
        assert pairs(lenient(tmp_path / name, source="de")) == [("b", "a")]


def test_json_lines_with_a_file_per_split_and_with_splits_in_the_lines(tmp_path: Path) -> None:
    record = {"en": "a", "de": "b"}
    write(tmp_path / "files", "train.jsonl.gz", json.dumps(record))
    write(tmp_path / "files", "dev.jsonl", json.dumps(record))
    write(tmp_path / "files", "other.jsonl", json.dumps(record))
    assert list(load(tmp_path / "files").splits) == ["train", "val"]
    lines = [json.dumps({**record, "split": split}) for split in ("Test", "gallery", "train")]
    write(tmp_path / "lines", "all.jsonl", *lines, json.dumps(record))
    data = lenient(tmp_path / "lines")
    assert list(data.splits) == ["train", "test", "gallery"]
    assert data.problems == ['all.jsonl:4: no "split", which other pairs have']


def test_a_split_in_two_files_is_refused(tmp_path: Path) -> None:
    record = {"en": "a", "de": "b"}
    write(tmp_path, "train.jsonl", json.dumps({**record, "split": "val"}))
    write(tmp_path, "val.jsonl", json.dumps(record))
    with pytest.raises(UserError, match="the split val is in another file too"):
        load(tmp_path)


def test_damage_in_json_lines_is_named_and_skipped(tmp_path: Path) -> None:
    good = {"en": "two\r\nlines\u2028here", "de": "b"}
    bad = [
        "{",
        "[]",
        '{"en": "a"}',
        '{"en": "a", "de": 3}',
        '{"en": "a", "de": "\\ud800"}',
        '{"translation": []}',
        '{"en": "a", "de": "b", "split": "../up"}',
        '{"en": "a", "de": "b", "split": 3}',
        "[" * 100_000,
    ]
    write(tmp_path, "data.jsonl", json.dumps(good, ensure_ascii=False), *bad)
    data = lenient(tmp_path)
    assert pairs(data) == [("two lines\u2028here", "b")]
    assert [int(each.split(":")[1]) for each in data.problems] == list(range(2, 11))
    assert not any("\n" in each for each in data.problems)


def test_a_file_without_two_texts_in_a_line_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "data.jsonl", '{"en": "a", "score": 1}')
    with pytest.raises(UserError, match="no parallel text in a known format"):
        load(tmp_path)
    with pytest.raises(UserError, match="data.jsonl: no two keys in it, but en"):
        load(tmp_path, "jsonl")


# ---- csv


def test_a_table_with_named_columns(tmp_path: Path) -> None:
    write(tmp_path, "pairs.csv", "id,en,de,split", '1,"a, b","sagte ""x""",train', "2,c,d,dev")
    data = load(tmp_path)
    assert data.format == "csv"
    assert pairs(data) == [("a, b", 'sagte "x"')]
    assert pairs(data, "val") == [("c", "d")]


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [("x.csv", "Q;A;label", "q;a;0"), ("x.csv", "Q,A,C", "q,a,c"), ("x.tsv", "A\tQ", "a\tq")],
)
def test_tables_of_other_columns_and_delimiters(
    tmp_path: Path, name: str, header: str, row: str
) -> None:
    write(tmp_path, name, header, row)
    assert pairs(lenient(tmp_path, format="csv", source="Q", target="A")) == [("q", "a")]


def test_a_tsv_with_a_header_is_a_table_and_without_one_is_not(tmp_path: Path) -> None:
    write(tmp_path / "with", "x.tsv", "de\ten", "a\tb")
    assert pairs(lenient(tmp_path / "with")) == [("a", "b")]
    write(tmp_path / "without", "x.tsv", "Go.\tGeh.", "a\tb")
    assert pairs(lenient(tmp_path / "without")) == [("Go.", "Geh."), ("a", "b")]


def test_a_table_of_another_split_without_the_columns_is_named(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", "en,de", "a,b")
    write(tmp_path, "test.csv", "en,fr", "a,b")
    with pytest.raises(UserError, match="test.csv:1: the first line must name the columns en, de"):
        load(tmp_path)


# ---- a format of one's own


def headlines(path: Path) -> Records:
    """Lines `English = German`."""
    for number, line in numbered_lines(path):
        texts = line.split(" = ")
        yield number, dict(zip(("en", "de"), texts, strict=False))


def read_headlines(files: list[Path], source: str | None, target: str | None) -> Reading:
    source, target = choose(files[0], ("en", "de"), source, target, "languages")
    return Reading(source, target, [RecordPairs(files[0], headlines, source, target, "train")])


HEADLINES: Format[Read] = Format("headlines", "a.head", lambda files: files[:1], read_headlines)


def test_a_format_that_is_defined_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, "a.head", "dog = Hund", "cat", "cow = Kuh")
    data = lenient(tmp_path, format=HEADLINES, source="de")
    assert data.format == "headlines"
    assert pairs(data) == [("Hund", "dog"), ("Kuh", "cow")]
    assert data.problems == ['a.head:2: no text "de"']


# ---- what holds for all


@pytest.mark.parametrize("position", [1, 6])
@pytest.mark.parametrize(
    ("name", "line", "pair"),
    [
        ("x.jsonl", json.dumps({"en": "a" * 100_000, "de": "b"}), ("a" * 100_000, "b")),
        ("x.jsonl", "", None),
        ("x.jsonl", "{oops", "not JSON"),
        ("x.jsonl", "\xff", "not UTF-8"),
        ("x.jsonl", '{"en": "a", "note": "b"}', 'no text "de"'),
        ("x.tsv", "a" * 100_000 + "\tb", ("a" * 100_000, "b")),
        ("x.tsv", "", None),
        ("x.tsv", " \t ", None),
        ("x.tsv", "one column", "1 column, where column 2"),
        ("x.tsv", "\xff\tb", "not UTF-8"),
        ("x.csv", '"' + "a" * 100_000 + '",b', ("a" * 100_000, "b")),
        ("x.csv", "", None),
        ("x.csv", "a" * 200_000 + ",b", ("a" * 200_000, "b")),
        ("x.csv", "\xff,b", "not UTF-8"),
        ("x.csv", "one column", "1 column instead of 2"),
        ("x.csv", 'a,"b', "a quote too few"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_the_first_line_is_treated_as_any_other(
    tmp_path: Path, name: str, line: str, pair: tuple[str, str] | str | None, position: int
) -> None:
    good = [(f"source {n}", f"target {n}") for n in range(9)]
    format, text = {
        "x.jsonl": ("jsonl", [json.dumps({"en": en, "de": de}) for en, de in good]),
        "x.tsv": ("tabs", [f"{en}\t{de}" for en, de in good]),
        "x.csv": ("csv", [f"{en},{de}" for en, de in good]),
    }[name]
    text.insert(position - 1, line)
    header = ["en,de"] if name == "x.csv" else []
    data = "".join(f"{each}\n" for each in header + text).replace("\xff", "\udcff")
    (tmp_path / name).write_bytes(data.encode(errors="surrogateescape"))
    names = {"source": "en", "target": "de"} if name == "x.jsonl" else {}
    place = f"{name}:{position + len(header)}: "
    if isinstance(pair, tuple):
        good.insert(position - 1, pair)
    for loaded in (lenient(tmp_path, **names), lenient(tmp_path, format=format, **names)):
        assert loaded.format == format
        assert pairs(loaded) == good
        assert len(loaded.problems) == isinstance(pair, str)
        assert all(each.startswith(place + pair) for each in loaded.problems)


def test_a_text_with_a_tab_here_and_there_is_no_file_of_pairs(tmp_path: Path) -> None:
    write(tmp_path, "pairs.txt", "broken", "a\tb")
    write(tmp_path, "README.txt", "These are pairs.", "\tindented", "Written by people.")
    assert pairs(lenient(tmp_path)) == [("a", "b")]


def test_a_file_that_is_no_text_is_said_to_be_so(tmp_path: Path) -> None:
    for name, format in (("x.jsonl", "jsonl"), ("x.tsv", "tabs"), ("x.csv", "csv")):
        (tmp_path / format).mkdir()
        (tmp_path / format / name).write_bytes(b"\x1f\x8b\x08 no longer a gzip file")
        with pytest.raises(UserError, match=f"{name}: a damaged or incomplete gzip file"):
            load(tmp_path / format, format)


def test_pairs_that_are_there_twice_or_in_two_splits_are_noted(tmp_path: Path) -> None:
    for language in ("de", "en"):
        write(tmp_path, f"train.{language}", *"abcab", "", "")
        write(tmp_path, f"test.{language}", *"axa")
    data = load(tmp_path)
    assert data.notes == [
        "train: 2 pairs have an empty side",
        "train: 2 pairs are there more than once",
        "test: 1 pairs are there more than once",
        "test: 2 of 3 pairs are also in train",
    ]


def test_the_digest_follows_the_sentences_and_not_the_files(tmp_path: Path) -> None:
    for folder, ending in (("plain", ""), ("packed", ".gz")):
        write(tmp_path / folder, f"train.de{ending}", "a b", "c")
        write(tmp_path / folder, f"train.en{ending}", "d", "e")
    texts = [load(tmp_path / folder).split("train") for folder in ("plain", "packed")]
    assert texts[0].digest == texts[1].digest
    seen = {texts[0].digest}
    for folder, lines in (("a", ["a", "b c"]), ("b", ["c", "a b"]), ("c", ["a b", "c "])):
        write(tmp_path / folder, "train.de", *lines)
        write(tmp_path / folder, "train.en", "d", "e")
        seen.add(load(tmp_path / folder).split("train").digest)
    seen.add(load(tmp_path / "plain", source="en").split("train").digest)
    assert len(seen) == 5


def test_a_seeded_split_has_a_digest_of_its_own_pairs(tmp_path: Path) -> None:
    write(tmp_path, "deu.txt", *(f"{n}\t{n}" for n in range(100)))
    one, same, other = (load(tmp_path, seed=seed, val_fraction=0.3) for seed in (0, 0, 1))
    assert one.split("val").digest == same.split("val").digest != other.split("val").digest
    assert one.split("val").digest != one.split("train").digest


def test_a_text_can_be_gone_through_again_and_handed_to_another_process(tmp_path: Path) -> None:
    write(tmp_path, "deu.txt", *(f"{n}\tx" for n in range(50)))
    text = load(tmp_path).split("train")
    assert list(islice(text, 2)) == list(islice(text, 2)) == [Pair("0", "x"), Pair("1", "x")]
    assert list(pickle.loads(pickle.dumps(text))) == list(text)
    assert len(text) == len(list(text))


def test_a_file_that_changes_while_it_is_in_use_is_noticed(multi: Path) -> None:
    text = load(multi, source="de", target="en").split("train")
    for language in ("de", "en"):
        write(multi, f"train.{language}.gz", "x", "y", "z")
    with pytest.raises(UserError, match="train: 3 pairs, where there were 2 before"):
        list(text)


def test_the_summary_counts(multi: Path) -> None:
    summary = load(multi, source="de", target="en").summary().splitlines()
    assert summary[0].endswith("(lines): de to en")
    assert summary[2].split() == ["train", "2", "2.0", "(2)", "2.0", "(2)"]
    words = [line.split() for line in summary[2:]]
    assert [line[0] for line in words] == ["train", "val", "test_2016_flickr"]


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    sentence = "ein Hund rennt über die Wiese " * 10
    write(tmp_path / "lines", "train.de", *[sentence] * 20_000)  # 6 MB
    write(tmp_path / "lines", "train.en", *[sentence] * 20_000)
    write(tmp_path / "tabs", "x.txt", *[f"{sentence}\t{sentence}"] * 20_000)
    for folder in ("lines", "tabs"):
        tracemalloc.start()
        data = load(tmp_path / folder)
        for text in data.splits.values():
            assert sum(1 for _ in text) == len(text)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        tracemalloc.stop()


def test_multi30k(shared: Path) -> None:
    data = load(shared / "multi30k", source="de", target="en")
    assert {name: len(text) for name, text in data.splits.items()} == {
        "train": 29_000,
        "val": 1_014,
        "test_2016_flickr": 1_000,
    }
    assert data.problems == []
    assert next(iter(data.split("test_2016_flickr"))) == (
        "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
        "A man in an orange hat starring at something.",
    )
    assert all(len(text) == sum(1 for _ in text) for text in data.splits.values())


def test_a_table_of_korean_questions(shared: Path) -> None:
    data = load(shared / "korean_chatbot", source="Q", target="A")
    assert sum(map(len, data.splits.values())) == 11_823
    assert data.problems == []
