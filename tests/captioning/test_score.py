"""Scoring captions, whoever wrote them: those of `evaluate` get its scores."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from threading import Thread

import pytest
from PIL import Image

from captioning.options import ScoreOptions
from captioning.predictions import read_predictions
from captioning.score import score
from captioning.train import evaluate_run, train
from common.errors import UserError
from common.synthetic.scenes import write_scenes
from tests.captioning.test_captioner import tiny_options
from tests.commands import run_here


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(folder, train=12, val=5, held_out=3, size=32)
    return folder


@pytest.fixture(scope="module")
def run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    options = tiny_options(scenes, folder)
    train(replace(options, training=replace(options.training, epochs=1)))
    return folder


def refused(*arguments: object) -> str:
    """The one line in which a command is refused."""
    done = run_here("captioning", *arguments)
    assert done.returncode == 1 and not done.stdout
    *before, last = done.stderr.strip().splitlines()
    assert last.startswith("error: ") and "Traceback" not in done.stderr
    assert not any(line.startswith("error") for line in before)
    return last


# ---- captions of our own


@pytest.mark.parametrize("name", ["captions-val.jsonl", "results-val.json"])
def test_what_evaluate_wrote_is_scored_as_evaluate_does(run, scenes, tmp_path, name):
    """Without its pictures, and to the last digit."""
    moved = shutil.copytree(scenes, tmp_path / "moved", ignore=shutil.ignore_patterns("*.png"))
    evaluation = json.loads((run / "evaluation-val.json").read_text())
    done = run_here("captioning", "score", run / name, "--data", moved, "--json")
    assert done.returncode == 0, done.stderr
    scored = json.loads(done.stdout)
    signatures = scored.pop("signatures")
    assert scored.pop("notes") == []
    assert {"bleu1", "bleu4", "rouge_l", "cider_d", "true_captions"} <= scored.keys()
    assert scored == {name: evaluation[name] for name in scored}
    assert signatures == {each: evaluation["signatures"][each] for each in signatures}


def test_what_caption_prints_is_scored(run, scenes, tmp_path, monkeypatch):
    """As JSON, of several captions the best; as lines; and from standard input."""
    evaluation = json.loads((run / "evaluation-val.json").read_text())
    for number, options in enumerate([["--json"], ["--json", "--n-best", 2], []]):
        done = run_here("captioning", "caption", run, scenes / "val", *options)
        (tmp_path / f"{number}").write_text(done.stdout)
        again = run_here("captioning", "score", tmp_path / f"{number}", "--data", scenes, "--json")
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["cider_d"] == evaluation["cider_d"]
    given = io.BufferedReader(io.BytesIO((tmp_path / "0").read_bytes()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
    assert len(read_predictions("-")) == 5
    given = io.BufferedReader(io.BytesIO(b'{"1": "\xff"}'))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
    with pytest.raises(UserError, match="-:1: not UTF-8 text"):
        read_predictions("-")


def test_coco_results_have_the_official_ids(run, scenes, tmp_path):
    """Numbers where the data set has numbers, as COCO's code and server want them; or the names."""
    images = [{"id": 7 + n, "file_name": f"{n:06}.png"} for n in range(3)]
    captions = [{"image_id": 7 + n, "id": n, "caption": "a red star"} for n in range(3)]
    folder = tmp_path / "coco"
    shutil.copytree(scenes / "val", folder / "val2017")
    (folder / "captions_val2017.json").write_text(
        json.dumps({"images": images, "annotations": captions})
    )
    evaluate_run(run, data=str(folder), device="cpu")
    results = json.loads((run / "results-coco-val.json").read_text())
    assert [each["image_id"] for each in results] == [7, 8, 9]
    assert all(each.keys() == {"image_id", "caption"} for each in results)
    done = run_here(
        "captioning", "score", run / "results-coco-val.json", "--data", folder, "--json"
    )
    evaluation = json.loads((run / "evaluation-coco-val.json").read_text())
    assert json.loads(done.stdout)["cider_d"] == evaluation["cider_d"]
    names = [each["image_id"] for each in json.loads((run / "results-val.json").read_text())]
    assert names == [f"val/{n:06}.png" for n in range(5)]


def test_a_blind_split_gets_captions_and_no_scores(run, scenes, tmp_path):
    (tmp_path / "blind").mkdir()
    lines = [{"image": f"{n:06}.png"} for n in range(3)]
    (tmp_path / "blind" / "test.jsonl").write_text("\n".join(map(json.dumps, lines)))
    where = "--data", tmp_path / "blind", "--images", scenes / "val"
    done = run_here("captioning", "evaluate", run, *where, "--split", "test")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["tokens", "seconds", "no"]
    assert "no scores: these images have no reference captions" in done.stdout
    assert len((run / "captions-blind-test.jsonl").read_text().splitlines()) == 3
    results = run / "results-blind-test.json"
    assert len(json.loads(results.read_text())) == 3
    where = "--data", tmp_path / "blind", "--split", "test"
    assert "have no reference captions" in refused("score", results, *where)


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_on_a_blind_split_is_refused(scenes, tmp_path, split):
    lines = [
        {"image": f"{each}/{n:06}.png", "split": each, "captions": ["a star"] * (each != split)}
        for each in ("train", "val")
        for n in range(5)
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = tiny_options(tmp_path, tmp_path / "run", images=scenes)
    with pytest.raises(
        UserError, match=rf"\Athe 5 images of {split} in .* not learnt from[^\n]*\Z"
    ):
        train(options)
    assert not (tmp_path / "run").exists()


# ---- captions of others

TEXTS = {1: "a dog runs on grass", 2: "two cats sleep", 33: "a red car stands here"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """COCO's annotations without the pictures; two other images are in train."""
    folder = tmp_path / "data" / "annotations"
    folder.mkdir(parents=True)
    for split, ids in (("train", [4, 5]), ("val", TEXTS)):
        images = [{"id": n, "file_name": f"COCO_{split}2014_{n:012}.jpg"} for n in ids]
        texts = [{"image_id": n, "id": n, "caption": TEXTS.get(n, "a man")} for n in ids]
        texts += [{"image_id": n, "id": 100 + n, "caption": "a thing"} for n in ids]
        content = json.dumps({"images": images, "annotations": texts})
        (folder / f"captions_{split}2014.json").write_text(content)
    return folder.parent


NAMES = {
    "numbers": "{}", "text": '"{}"', "names": '"COCO_val2014_{:012}.jpg"',
    "without the ending": '"COCO_val2014_{:012}"', "in a folder": '"val2014/COCO_val2014_{:012}.jpg"',
    "in other folders": '"/kaggle/input/x/COCO_val2014_{:012}.JPG"',
    "of Windows": r'"C:\\x\\val2014\\COCO_val2014_{:012}.jpg"', "zeros": '"{:012}"', "floats": "{}.0",
}  # fmt: skip


def whole(records: list[str]) -> str:
    return f"[{','.join(records)}]"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("together", [whole, "\n".join], ids=["results", "lines"])
def test_images_are_found_by_whatever_they_are_called(data, tmp_path, capsys, name, together):
    records = [
        f'{{"image_id": {NAMES[name].format(n)}, "caption": "{text}"}}' for n, text in TEXTS.items()
    ]
    (tmp_path / "mine").write_text(together(records))
    score(ScoreOptions(captions=str(tmp_path / "mine"), data=str(data), json=True))
    found = json.loads(capsys.readouterr().out)
    assert found["bleu4"] == pytest.approx(1) and found["rouge_l"] == 1


OTHERS = {
    "one object": json.dumps({str(n): text for n, text in TEXTS.items()}),
    "indented": json.dumps({str(n): text for n, text in TEXTS.items()}, indent=2),
    "lists": json.dumps({str(n): [text] for n, text in TEXTS.items()}),
    "lists of objects": json.dumps({str(n): [{"caption": text}] for n, text in TEXTS.items()}),
    "csv": "image,caption\n" + "".join(f"COCO_val2014_{n:012}.jpg,{t}\n" for n, t in TEXTS.items()),
    "tabs": "".join(f"{n}\t{text}\n" for n, text in TEXTS.items()),
    "a mark": "\ufeff" + json.dumps([{"id": n, "text": text} for n, text in TEXTS.items()]),
    "blank lines": "\n\n".join(json.dumps({"image": n, "captions": [t]}) for n, t in TEXTS.items()),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_files_of_others_are_read(data, tmp_path, capsys, kind):
    (tmp_path / "mine").write_text(OTHERS[kind])
    score(ScoreOptions(captions=str(tmp_path / "mine"), data=str(data), json=True))
    assert json.loads(capsys.readouterr().out)["bleu4"] == pytest.approx(1)


def test_a_name_is_the_same_however_its_signs_are_composed(tmp_path, capsys):
    (tmp_path / "val.jsonl").write_text('{"image": "cafe\u0301.jpg", "captions": ["a dog"]}\n')
    (tmp_path / "mine").write_text('{"caf\u00e9": "a dog"}')
    score(ScoreOptions(captions=str(tmp_path / "mine"), data=str(tmp_path), json=True))
    assert json.loads(capsys.readouterr().out)["rouge_l"] == 1


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ({"1": "a", "2": "b"}, "1 image (val2014/COCO_val2014_000000000033.jpg) of val without a "),
        ({"1": "a", "2": "b", "33": "c", "77": "d"}, "1 image (77) that the data set does not have."),
        ({"1": "a", "2": "b", "33": "c", "4": "d"}, "1 image (4) of the split train, not val."),
        ({"1": "a", "2": "b", "33": "c", "033": "c"}, "1 image (033) with more than one caption."),
        ({str(n): "a" for n in range(100, 105)},
         "5 images (100, 101, 102, ...) that the data set does not have; 3 images ("),
        ({"1": ["a", "b"]}, "1 of 1 captions cannot be read. The first: 1: 2 captions, where one"),
        ({"1": None, "2": ["a"]}, "1 of 2 captions cannot be read. The first: 1: its caption is not"),
        ([{"image_id": 1}], 'item 1: no "image_id" (or "image") and "caption".'),
        ([{"image_id": True, "caption": "a"}], 'item 1: the "image_id" is neither a number nor'),
        (["a"], "item 1: not an object."),
        ('{"1": "a", "1": "b"}', "1 key (1) more than once in an object of JSON."),
        ('{"image": 1, "caption": "a"}\n{"image": 2,', "line 2: not JSON ("),
        ('[{"image_id": 1,', "1 of 1 captions cannot be read. The first: item 1: not JSON ("),
        ("[" * 100_000, "nested too deeply"),
        ("", "mine is empty. It should hold JSON lines"),
        ("a dog\n", "mine: captions in no known form. It should hold JSON lines"),
        ("{}", "no caption in it"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_scored_is_refused_in_one_line(data, tmp_path, captions, message):
    text = captions if isinstance(captions, str) else json.dumps(captions)
    (tmp_path / "mine").write_text(text)
    assert message in refused("score", tmp_path / "mine", "--data", data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "--data", "DATA"), "nowhere: there is no such file"),
        (("FILE", "--data", "nowhere"), "nowhere: there is no such folder"),
        (("FILE", "--data", "DATA", "--split", "tset"), "no images in a split 'tset'; it has train"),
        (("FILE", "--data", "DATA", "--items", "nowhere/items"), "there is no folder nowhere"),
        (("FILE", "--data", "DATA", "--items", "DATA"), "is a folder"),
        (("FILE", "--data", "DATA", "--items", "FILE"), "is a file that is scored: name another"),
    ],
    ids=str,
)  # fmt: skip
def test_arguments_that_cannot_be_used_are_refused(data, tmp_path, arguments, message):
    (tmp_path / "mine").write_text(OTHERS["one object"])
    names = {"DATA": data, "FILE": tmp_path / "mine"}
    assert message in refused("score", *(names.get(each, each) for each in arguments))


def test_a_subset_is_scored_where_it_is_asked_for(data, tmp_path, capsys):
    (tmp_path / "mine").write_text(json.dumps({"33": TEXTS[33], "1": ""}))
    options = ScoreOptions(captions=str(tmp_path / "mine"), data=str(data), subset=True, json=True)
    score(options)
    found = json.loads(capsys.readouterr().out)
    assert found["notes"] == [
        "of 2 of the 3 images of val: CIDEr-D weighs words by their captions alone"
    ]
    assert found["rouge_l"] == 0.5  # nothing is written of image 1
    (tmp_path / "mine").write_text(json.dumps({"33": TEXTS[33], "34": ""}))
    with pytest.raises(UserError, match=r"1 image \(34\) that the data set does not have\.\Z"):
        score(options)


def test_scores_of_items_are_those_of_the_coco_code(data, tmp_path, capsys):
    """In the order of the file; the means of ROUGE-L and CIDEr-D are those of the corpus."""
    texts = {"33": "a car stands here", "1": TEXTS[1], "2": "a thing"}
    (tmp_path / "mine").write_text(json.dumps(texts))
    items = tmp_path / "items.jsonl"
    score(ScoreOptions(captions=str(tmp_path / "mine"), data=str(data), items=items, json=True))
    corpus = json.loads(capsys.readouterr().out)
    each = [json.loads(line) for line in items.read_text().splitlines()]
    assert [line["caption"] for line in each] == list(texts.values())
    assert each[0]["image"] == "val2014/COCO_val2014_000000000033.jpg"
    for name in ("rouge_l", "cider_d"):
        assert fmean(line[name] for line in each) == pytest.approx(corpus[name], rel=1e-12)
    # 4 of 4 words, 2 of 3 pairs, 1 of 2 triples; a reference has 5 words and the other 2.
    assert each[0]["bleu1"] == pytest.approx(2.718281828 ** (1 - 5 / 4), rel=1e-6)
    assert each[0]["bleu2"] == pytest.approx((2 / 3) ** 0.5 * each[0]["bleu1"], rel=1e-6)
    assert each[1]["bleu4"] == pytest.approx(1)


def test_tokens_are_compared_as_they_are(tmp_path):
    """As the evaluation of a run of `--tokenizer whitespace` does; COCO's words have no signs."""
    (tmp_path / "val.jsonl").write_text('{"image": "1", "captions": ["x ^ { 2 } + Y"]}\n')
    (tmp_path / "mine").write_text('{"1": "x ^ { 2 } + y"}')
    command = ["captioning", "score", tmp_path / "mine", "--data", tmp_path]
    assert "bleu1                 1.0000  per word" in run_here(*command).stdout
    tokens = run_here(*command, "--tokens").stdout
    assert "bleu1                 0.8571  per token between blanks" in tokens


def test_a_name_in_countless_folders_costs_nothing(data, tmp_path):
    deep = "a/" * 200_000 + "COCO_val2014_000000000001.jpg"
    (tmp_path / "mine").write_text(json.dumps({deep: "a", "2": "b", "33": "c"}))
    score(ScoreOptions(captions=str(tmp_path / "mine"), data=str(data)))


def test_the_name_of_another_split_is_not_taken_for_one_of_this(run, scenes, tmp_path):
    """train/000001.png is not val/000001.png, wherever the pictures are."""
    texts = {f"/elsewhere/scenes/train/{n:06}.png": "a star" for n in range(5)}
    (tmp_path / "mine").write_text(json.dumps(texts))
    assert "5 images (" in refused("score", tmp_path / "mine", "--data", scenes)
    texts = {f"/elsewhere/pictures/{n:06}.png": "a star" for n in range(5)}
    (tmp_path / "mine").write_text(json.dumps(texts))
    assert run_here("captioning", "score", tmp_path / "mine", "--data", scenes).returncode == 0


def test_a_packed_file_and_a_named_pipe_are_read(data, tmp_path, capsys):
    """As the shell's <(...) is; a damaged file is named."""
    text = OTHERS["one object"].encode()
    (tmp_path / "mine.gz").write_bytes(gzip.compress(text))
    os.mkfifo(tmp_path / "pipe")
    Thread(target=(tmp_path / "pipe").write_bytes, args=[text], daemon=True).start()
    for name in ("mine.gz", "pipe"):
        score(ScoreOptions(captions=str(tmp_path / name), data=str(data), json=True))
        assert json.loads(capsys.readouterr().out)["rouge_l"] == 1
    (tmp_path / "mine.gz").write_bytes(gzip.compress(text)[:-10])
    assert "a damaged or incomplete gzip file" in refused(
        "score", tmp_path / "mine.gz", "--data", data
    )


def test_a_table_in_another_encoding_is_scored(scenes, tmp_path):
    name = sorted((scenes / "val").glob("*.png"))[0].name
    (tmp_path / "written.csv").write_bytes(f"image,caption\nval/{name},café\n".encode("latin-1"))
    where = (tmp_path / "written.csv", "--data", scenes, "--subset")
    assert "add --encoding" in refused("score", *where)
    done = run_here("captioning", "score", *where, "--encoding", "latin-1")
    assert done.returncode == 0 and "bleu1" in done.stdout


def test_a_split_of_the_training_is_scored(tmp_path):
    """That of `--val-fraction 0` is the training data."""
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    rows = "".join(f"{number}.png,a cat\n" for number in range(3))
    (tmp_path / "captions.csv").write_text(f"image,caption\n{rows}")
    where = (tmp_path / "captions.csv", "--data", tmp_path)
    assert "of the split" in refused("score", *where)
    done = run_here("captioning", "score", *where, "--val-fraction", 0)
    assert done.returncode == 0 and "bleu1                 1.0000" in done.stdout
