"""Training a translator: its tokens, the lengths that it has seen, and what it says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.decoding import Greedy
from common.models.options import LossOptions
from common.text.vocabulary import EOS
from seq2seq import Translator
from seq2seq.model import build_model
from seq2seq.options import TextOptions, TrainOptions
from seq2seq.train import evaluate_run, train
from tests.seq2seq.tiny import tiny_options

NUMBERS = {
    "7": "seven",
    "70": "seventy",
    "77": "seventy seven",
    "777": "seven hundred and seventy seven",
}
CHARACTERS = TextOptions(tokenizer="characters")


def write_tabs(folder: Path, train: list[tuple[str, str]], val: list[tuple[str, str]]) -> Path:
    folder.mkdir()
    for split, pairs in (("train", train), ("val", val)):
        (folder / f"{split}.tsv").write_text("".join(f"{one}\t{two}\n" for one, two in pairs))
    return folder


def one_epoch(data: Path, run: Path, **changes) -> TrainOptions:
    options = tiny_options(data, run, source=None, target=None, shown_sentences=0, **changes)
    return replace(options, training=replace(options.training, epochs=1))


def never_ending(translator: Translator) -> Translator:
    with torch.no_grad():
        translator.model.decoder.output.bias[EOS] -= 1e4
    return translator


def lengths(translator: Translator, texts: list[str], *search, **how) -> list[int]:
    found = never_ending(translator).translations(texts, *search, **how)
    return [len(best[0].tokens) for best in found]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Path:
    """A run on the names of numbers, in characters, without a bound of its own."""
    folder = tmp_path_factory.mktemp("numbers")
    data = write_tabs(folder / "data", [*NUMBERS.items()] * 3, [*NUMBERS.items()])
    options = one_epoch(data, folder / "run", text=CHARACTERS)
    train(replace(options, search=replace(options.search, max_length=None)))
    return folder / "run"


def test_what_training_showed_bounds_a_translation(numbers):
    translator = Translator.from_run(numbers, device="cpu")
    assert translator.longest == (0, 5, 13, 31)  # at each length of a source, or below
    # Never fewer than is usual, and beyond all sources of the training in proportion.
    assert lengths(translator, ["7", "77", "777", "7777"]) == [12, 14, 31, 42]
    assert translator.most_tokens(200) == 31 * 200 / 3 + 1 / 3


def test_a_bound_that_is_named_wins(numbers):
    def run() -> Translator:
        return Translator.from_run(numbers, device="cpu")

    assert lengths(run(), ["7", "777"], Greedy(max_length=60)) == [60, 60]
    assert lengths(run(), ["777", "7"], Greedy(max_length=3)) == [3, 3]
    assert lengths(run(), ["777", "7"], Greedy(min_length=40)) == [40, 40]
    assert lengths(run(), ["777", "7", "77"], max_length=[2, 50, 9], batch_size=1) == [2, 50, 9]
    assert lengths(run(), ["", "777"], max_length=70) == [0, 70]
    assert lengths(run(), ["", "777"], max_length=[9, 70]) == [0, 70]


def earlier(run: Path, folder: Path, most: int) -> Path:
    """A run of before it kept what training showed; its configuration had always a bound."""
    folder.mkdir()
    for path in filter(Path.is_file, run.iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
    stored = json.loads((folder / "config.json").read_text())
    del stored["config"]["longest"]
    stored["config"]["search"]["max_length"] = most
    (folder / "config.json").write_text(json.dumps(stored))
    return folder


@pytest.mark.parametrize(("most", "expected"), [(100, [12, 16]), (20, [20, 20])])
def test_an_earlier_run_keeps_its_bound(numbers, tmp_path, most, expected):
    run = earlier(numbers, tmp_path / "run", most)
    assert lengths(Translator.from_run(run, device="cpu"), ["7", "777"]) == expected
    evaluate_run(run, device="cpu", search=Translator.from_run(run, device="cpu").search)
    assert {path.name for path in run.glob("evaluation*")} == {"evaluation-val.json"}
    # And it is resumed, by the command that began it.
    config = json.loads((run / "config.json").read_text())["config"]
    options = one_epoch(Path(config["data"]), run, text=CHARACTERS, resume=True)
    bound = None if most == TrainOptions.USUAL_LENGTH else most
    train(
        replace(
            options, search=replace(options.search, max_length=bound),
            training=replace(options.training, epochs=2),
        )
    )  # fmt: skip
    assert lengths(Translator.from_run(run, device="cpu"), ["7", "777"]) == expected


def test_a_run_that_is_saved_again_keeps_what_it_saw(numbers, tmp_path):
    translator = Translator.from_run(numbers, device="cpu")
    translator.save(tmp_path / "again")
    options = replace(tiny_options(tmp_path, tmp_path), text=CHARACTERS)
    model = build_model(options, translator.source.vocabulary, translator.target.vocabulary)
    again = Translator.from_run(tmp_path / "again", model=model, device="cpu")
    assert again.longest == translator.longest


def test_a_long_text_without_blanks_is_joined_without_blanks():
    texts = ["一个男人在草地上奔跑", "他喜欢小狗"]
    for tokenizer, source, blanks in (
        ("characters", "一个男人" * 150, 0),
        ("whitespace", "一 个 " * 300, 9),
    ):
        text = TextOptions(tokenizer=tokenizer, min_count=1)
        both = text.learn(lambda task: texts if blanks == 0 else ["一 个", "a b"])  # noqa: B023
        options = replace(tiny_options(Path("d"), Path("r")), text=text)
        model = build_model(options, both.vocabulary, both.vocabulary)
        translator = never_ending(Translator(model, both, both, Greedy(max_length=5)))
        (found,) = translator.translate([source])
        assert found.count(" ") == blanks


CHINESE = [("我喜欢小狗，你喜欢小猫。", "i like dogs , you like cats ."), ("他在跑。", "he runs .")]


def test_what_does_not_suit_the_tokenizer_is_said(tmp_path, capsys):
    data = write_tabs(tmp_path / "data", CHINESE * 10, CHINESE)
    train(one_epoch(data, tmp_path / "words"))
    said = capsys.readouterr().err
    assert "source: its script has no blanks between words" in said
    assert "target: " not in said
    assert "val: 2 of 2 references cannot be written as they are: 'he runs .' becomes" in said
    train(
        one_epoch(data, tmp_path / "pieces", text=TextOptions(tokenizer="whitespace", min_count=1))
    )
    said = capsys.readouterr().err
    assert "source: its script has no blanks" in said and "references" not in said


def test_a_script_without_blanks_is_scored_by_its_signs_whatever_its_name(tmp_path):
    data = write_tabs(tmp_path / "data", [(two, one) for one, two in CHINESE] * 5, CHINESE[::-1])
    (data / "val.tsv").write_text("he runs .\t他在跑。\n")
    evaluation = train(one_epoch(data, tmp_path / "run", text=CHARACTERS))
    assert "tok:char" in evaluation.signatures["bleu"]


def test_text_that_is_tokens_already_is_learnt_by_heart_as_it_is(tmp_path):
    pairs = [("one", "C ( = O ) O"), ("two", "c , [ N ] ."), ("three", "hello , Sir .")]
    data = write_tabs(tmp_path / "data", pairs * 60, pairs)
    text = TextOptions(tokenizer="whitespace", min_count=1)
    options = tiny_options(
        data, tmp_path / "run", source=None, target=None, shown_sentences=0, text=text,
        monitor="exact_match", loss=LossOptions(label_smoothing=0.0),
    )  # fmt: skip
    evaluation = train(
        replace(
            options, training=replace(options.training, epochs=4, learning_rate=0.02, batch_size=6)
        )
    )
    assert evaluation.metrics["exact_match"] == 1.0
    assert (
        "case:mixed" in evaluation.signatures["bleu"]
        and "tok:none" in evaluation.signatures["bleu"]
    )
    written = (tmp_path / "run" / "translations-val.txt").read_text()
    assert written == "".join(f"{target}\n" for _, target in pairs)


def test_an_exact_match_of_lower_case_does_not_see_capitals(tmp_path):
    """A model of lower case writes AT&T as it is usual."""
    pairs = [("one", "AT&T"), ("two", "The Q&A")]
    data = write_tabs(tmp_path / "data", pairs * 60, pairs)
    options = tiny_options(
        data, tmp_path / "run", source=None, target=None, shown_sentences=0,
        loss=LossOptions(label_smoothing=0.0),
    )  # fmt: skip
    evaluation = train(
        replace(
            options, training=replace(options.training, epochs=4, learning_rate=0.02, batch_size=6)
        )
    )
    assert evaluation.metrics["exact_match"] == 1.0
