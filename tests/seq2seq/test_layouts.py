"""Files of pairs as people have them: names, JSON, encodings, and data without a split val."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from seq2seq.data import ParallelData, load
from seq2seq.options import TrainOptions
from seq2seq.train import load_data

PAIRS = [(f"satz nummer {n}, hier", f"sentence number {n}, here") for n in range(12)]
DICTS = [{"de": source, "en": target} for source, target in PAIRS]


def put(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def lines(side: int, count: int = 12) -> str:
    return "".join(f"{pair[side]}\n" for pair in PAIRS[:count])


def pairs(data: ParallelData, split: str = "train") -> list[tuple[str, str]]:
    return [(pair.source, pair.target) for pair in data.split(split)]


@pytest.mark.parametrize(
    ("name", "content", "format", "languages"),
    [
        ("x.json", [*map(list, PAIRS)], "json", ("1", "2")),
        ("x.json", DICTS, "json", ("de", "en")),
        ("x.json", [{"id": 7, "translation": each} for each in DICTS], "json", ("de", "en")),
        ("x.json", {"version": 1, "data": DICTS}, "json", ("de", "en")),
        (
            "x.json",
            {"de": [a for a, _ in PAIRS], "en": [b for _, b in PAIRS]},
            "json",
            ("de", "en"),
        ),
        ("x.json", DICTS, "jsonl", ("de", "en")),
        ("x.jsonl", [{"translation": each} for each in DICTS], "jsonl", ("de", "en")),
        ("x.jsonl", [*map(list, PAIRS)], "jsonl", ("1", "2")),
    ],
)
def test_json_arrays_and_lines(
    tmp_path: Path, name: str, content: Any, format: str, languages: tuple[str, str]
) -> None:
    whole = json.dumps(content, indent=1)
    text = whole if format == "json" else "".join(f"{json.dumps(each)}\n" for each in content)
    put(tmp_path / name, text)
    data = load(tmp_path, val_fraction=0, test_fraction=0)
    assert (data.format, data.source_language, data.target_language) == (format, *languages)
    assert pairs(data) == PAIRS and data.problems == []


def test_json_by_split_and_with_damage(tmp_path: Path) -> None:
    put(tmp_path / "one" / "x.json", json.dumps({"train": DICTS, "validation": [*DICTS[:2], [3]]}))
    for split, rows in (("train", DICTS), ("valid", DICTS[:2])):
        put(tmp_path / "two" / f"{split}.json", json.dumps(rows))
    one, two = load(tmp_path / "one", max_problems=0.1), load(tmp_path / "two")
    assert one.problems == ["x.json, item 15: not an object"]
    for data in (one, two):
        assert pairs(data) == PAIRS and pairs(data, "val") == PAIRS[:2]
    put(tmp_path / "three" / "x.json", '[{"de": "a",\n "en": ]')
    for format, message in (("json", "x.json:2: not valid JSON"), (None, "no parallel text")):
        with pytest.raises(UserError, match=message):
            load(tmp_path / "three", format)
    put(tmp_path / "four" / "x.json", '{"a": 1}')
    with pytest.raises(UserError, match="x.json: no list of records in it"):
        load(tmp_path / "four", "json")


@pytest.mark.parametrize(
    "names",
    [
        ("src-{}.txt", "tgt-{}.txt"), ("{}.src", "{}.tgt"), ("source.{}", "target.{}"),
        ("{}_src.txt", "{}_tgt.txt"), ("{}.de.txt", "{}.en.txt"), ("{}.source", "{}.target"),
    ],
)  # fmt: skip
def test_names_of_line_aligned_files(tmp_path: Path, names: tuple[str, str]) -> None:
    for split, count in (("train", 12), ("valid", 3)):
        for side, name in enumerate(names):
            put(tmp_path / name.format(split), lines(side, count))
    put(tmp_path / names[0].format("test"), lines(0))  # a blind test
    data = load(tmp_path)
    assert data.format == "lines" and list(data.splits) == ["train", "val", "test"]
    assert pairs(data) == PAIRS and pairs(data, "val") == PAIRS[:3]
    assert (
        data.split("test").blind and "test: no sentence has a reference translation" in data.notes
    )


def test_tables_with_semicolons_and_headers_that_are_none(tmp_path: Path) -> None:
    rows = "".join(f"{source};{target}\n" for source, target in PAIRS)
    for name, header in (
        ("a.csv", "de;en\n"),
        ("b.txt", "Deutsch_Text;English\n"),
        ("c.txt", "de;en\n"),
    ):
        put(tmp_path / name[0] / name, header + rows)
    for name in "ac":
        data = load(tmp_path / name, val_fraction=0, test_fraction=0)
        assert data.format == "csv" and pairs(data) == PAIRS
    put(tmp_path / "d" / "d.csv", rows.replace(", hier", "."))
    for name in "bd":  # what was found, and what is accepted
        with pytest.raises(
            UserError, match="must name the columns of a table, as source,target or"
        ) as e:
            load(tmp_path / name)
        assert ("Deutsch_Text;English" if name == "b" else "satz nummer 0.") in str(e.value)


@pytest.mark.parametrize("encoding", ["cp949", "utf-16-le"])
def test_every_format_in_another_encoding(tmp_path: Path, encoding: str) -> None:
    korean = [(f"{n}번째 문장이에요", f"sentence {n}") for n in range(12)]
    put(tmp_path / "tabs" / "x.tsv", "".join(f"{a}\t{b}\n" for a, b in korean), encoding)
    put(
        tmp_path / "csv" / "x.csv",
        "".join(f"{a},{b}\n" for a, b in [("한국어", "영어"), *korean]),
        encoding,
    )
    put(tmp_path / "json" / "x.json", json.dumps(korean, ensure_ascii=False), encoding)
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in korean)
    put(tmp_path / "jsonl" / "x.jsonl", text, encoding)
    for side, name in enumerate(("x.ko", "x.en")):
        put(tmp_path / "lines" / name, "".join(f"{pair[side]}\n" for pair in korean), encoding)
    for folder in tmp_path.iterdir():
        named = encoding if encoding == "cp949" else None
        how = {"source": "ko", "target": "en"} if folder.name == "lines" else {}
        data = load(folder, encoding=named, val_fraction=0, test_fraction=0, **how)
        assert (data.format, pairs(data), pairs(data)) == (folder.name, korean, korean)
        if named:
            place = re.escape(str(folder)) + r"/x\.\w+:1: not UTF-8 text .*add --encoding cp949"
            for limit in (0.01, 1.0):  # a higher limit is no help
                with pytest.raises(UserError, match=place):
                    load(folder, max_problems=limit, **how)
            with pytest.raises(UserError, match="encoding nope: there is no such encoding"):
                load(folder, encoding="nope", **how)


def options(folder: Path, **changes: Any) -> TrainOptions:
    return TrainOptions(data=str(folder), run_dir=folder / "run", **changes)


def test_val_is_drawn_from_train_and_train_from_val(tmp_path: Path) -> None:
    for split, count in (("train", 12), ("test", 4)):
        for side, language in enumerate(("de", "en")):
            put(tmp_path / f"{split}.{language}", lines(side, count))
    assert "val" not in load(tmp_path).splits  # as an evaluation of other data has it
    data = load_data(options(tmp_path, val_fraction=0.25))
    assert (
        sorted(pairs(data) + pairs(data, "val")) == sorted(PAIRS)
        and pairs(data, "test") == PAIRS[:4]
    )
    assert 1 <= len(data.split("val")) <= 6
    assert "no split val: 25 % of train becomes val (--val-fraction)" in data.notes
    data = load_data(options(tmp_path, val_fraction=0.0))
    assert pairs(data) == pairs(data, "val") == PAIRS
    assert any(note.startswith("validation is on the training data") for note in data.notes)
    for language in ("de", "en"):
        (tmp_path / f"train.{language}").rename(tmp_path / f"val.{language}")
    data = load_data(options(tmp_path, val_fraction=0.25))
    assert (
        sorted(pairs(data) + pairs(data, "val")) == sorted(PAIRS) and len(data.split("test")) == 4
    )
    assert (
        "no split train: val becomes train, but for 25 % that stays val (--val-fraction)"
        in data.notes
    )
    assert list(load(tmp_path).splits) == ["val", "test"]


@pytest.mark.parametrize("count", [1, 2, 10, 40])
def test_few_rows_without_splits(tmp_path: Path, count: int) -> None:
    put(tmp_path / "x.tsv", "".join(f"satz {n}\tsentence {n}\n" for n in range(count)))
    data = load_data(options(tmp_path, val_fraction=0.05))
    if count == 1:
        with pytest.raises(UserError, match="A single pair .* --val-fraction 0 validate on the tr"):
            data.split("train"), data.split("val")
    else:
        assert data.split("train") and data.split("val")
    data = load_data(options(tmp_path, val_fraction=0.0))
    assert len(data.split("train")) == len(data.split("val")) == count and "test" not in data.splits


def test_a_split_val_of_the_datas_own_stays(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for side, language in enumerate(("de", "en")):
            put(tmp_path / f"{split}.{language}", lines(side))
    for fraction in (0.0, 0.3):
        data = load_data(options(tmp_path, val_fraction=fraction))
        assert pairs(data, "val") == PAIRS
        assert data.notes[-1] == "the data have a split val: --val-fraction changes nothing"
