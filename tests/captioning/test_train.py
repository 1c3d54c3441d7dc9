"""Training a captioner: the tokens that it learns, and what it says of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioning import Captioner
from captioning.data import load
from captioning.options import EncoderOptions, TrainOptions
from captioning.train import evaluate_run, make_examples, train
from common.data.damage import Tally
from common.decoding import Greedy
from common.models.options import LossOptions, TextOptions
from common.runs.run import Run
from common.text.vocabulary import EOS
from common.training.task import Evaluation
from tests.captioning.test_captioner import tiny_options
from tests.commands import run_here

CHINESE = {"red": "一个红色的方块，很大。", "blue": "蓝色的大海，没有船。"}
FORMULAS = {"red": "C ( = O ) O", "blue": "c , [ N ] ."}
CHARACTERS = TextOptions(tokenizer="characters")


def write_pictures(folder: Path, captions: dict[str, str], copies: int = 1) -> Path:
    """Pictures of each colour for training, with their caption, and one for validation."""
    folder.mkdir()
    with (folder / "captions.jsonl").open("w") as file:
        for split in ("train", "val"):
            some = product(captions.items(), range(copies if split == "train" else 1))
            for (colour, caption), number in some:
                name = f"{split}-{colour}-{number}.png"
                Image.new("RGB", (32, 32), colour).save(folder / name)
                line = {"image": name, "captions": [caption], "split": split}
                file.write(json.dumps(line) + "\n")
    return folder


def one_epoch(data: Path, run: Path, **changes) -> TrainOptions:
    options = tiny_options(data, run, shown_images=0, **changes)
    options = replace(options, search=replace(options.search, max_length=None))
    return replace(options, training=replace(options.training, epochs=1))


@pytest.fixture(scope="module")
def chinese(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "chinese", CHINESE)


@pytest.fixture(scope="module")
def run(chinese: Path) -> Path:
    train(one_epoch(chinese, chinese.parent / "run", text=CHARACTERS))
    return chinese.parent / "run"


def learnt_by_heart(data: Path, run: Path, text: TextOptions) -> Evaluation:
    """Of a captioner that is told which of two captions to write, by one feature."""
    names = sorted(path.name for path in data.glob("*.png"))
    features = run.parent / "features"
    features.mkdir()
    (features / "names.txt").write_text("\n".join(names))
    np.save(
        features / "features.npy", np.array([[float("red" in name), 1] for name in names], "f4")
    )
    options = one_epoch(
        data, run, text=text, monitor="bleu4", loss=LossOptions(label_smoothing=0.0)
    )
    decoder = replace(options.decoder, attention="none", embedding_dropout=0.0, output_dropout=0.0)
    training = replace(options.training, epochs=8, learning_rate=0.02, batch_size=4)
    encoder = EncoderOptions(
        features=features, memory_size=0, vector_size=8, normalize=False, feature_dropout=0.0
    )  # fmt: skip
    return train(replace(options, decoder=decoder, encoder=encoder, training=training))


@pytest.mark.parametrize(
    ("captions", "text", "signature"),
    [
        (CHINESE, CHARACTERS, "per character"),
        (CHINESE, TextOptions(tokenizer="subwords", vocabulary_size=50), "per character"),
        (FORMULAS, TextOptions(tokenizer="whitespace", min_count=1), "per token between blanks"),
    ],
    ids=["characters", "subwords", "whitespace"],
)
def test_captions_are_written_and_scored_as_their_references(tmp_path, captions, text, signature):
    data = write_pictures(tmp_path / "data", captions, copies=30)
    evaluation = learnt_by_heart(data, tmp_path / "run", text)
    signatures = evaluation.signatures
    assert evaluation.metrics["bleu4"] == pytest.approx(1, abs=1e-6)
    found = {name: best[0].text for name, best in evaluation.outputs.items()}
    assert found == {f"val-{colour}-0.png": caption for colour, caption in captions.items()}
    assert signatures["cider_d"] == signatures["bleu1"] == signature
    assert signatures["perplexity"].endswith(f"({text.tokenizer})")


def test_words_that_cannot_be_told_apart_are_said(chinese, tmp_path, capsys):
    evaluation = train(one_epoch(chinese, tmp_path / "words", text=TextOptions(min_count=1)))
    said = capsys.readouterr().err
    assert said.count("--tokenizer") == 1
    assert "captions: its script has no blanks between words. For such a text take" in said
    assert evaluation.signatures["bleu4"] == "per character"  # also of what words wrote
    english = write_pictures(tmp_path / "english", {"red": "a red thing", "blue": "a blue one"})
    evaluation = train(one_epoch(english, tmp_path / "run", text=TextOptions(min_count=1)))
    assert "--tokenizer" not in capsys.readouterr().err
    assert evaluation.signatures["bleu4"].startswith("per word")


def test_what_training_showed_bounds_a_caption(chinese, run, tmp_path):
    long = write_pictures(tmp_path / "long", {"red": CHINESE["red"] * 5, "blue": "蓝"})
    train(one_epoch(long, tmp_path / "run", text=CHARACTERS, max_words=50))
    picture = Image.new("RGB", (32, 32))
    for folder, usual in ((run, TrainOptions.USUAL_LENGTH), (tmp_path / "run", 50)):
        captioner = Captioner.from_run(folder, device="cpu")
        with torch.no_grad():
            captioner.model.decoder.output.bias[EOS] -= 1e4
        for search, length in ((Greedy(), usual), (Greedy(max_length=60), 60)):
            ((found,),) = captioner.captions([picture], search)
            assert len(found.tokens) == length


def test_a_run_of_before_is_used_evaluated_and_resumed(chinese, run, tmp_path):
    """Its one option of the text stood alone, and its configuration had always a bound of length."""
    words = one_epoch(chinese, tmp_path / "words", text=TextOptions(min_count=1))
    train(words)
    before = Captioner.from_run(tmp_path / "words", device="cpu")
    stored = json.loads((tmp_path / "words" / "config.json").read_text())
    del stored["config"]["text"], stored["config"]["longest"]
    stored["config"] |= {"min_count": 1}
    stored["config"]["search"]["max_length"] = 40
    (tmp_path / "words" / "config.json").write_text(json.dumps(stored))

    read = Run.open(tmp_path / "words").read_config(TrainOptions)
    assert read.text == TextOptions(min_count=1) and read.search.max_length is None
    picture = Image.new("RGB", (32, 32), "red")
    again = Captioner.from_run(tmp_path / "words", device="cpu")
    assert again.captions([picture]) == before.captions([picture])
    evaluate_run(tmp_path / "words", device="cpu")
    train(replace(words, resume=True, training=replace(words.training, epochs=2)))
    assert Run.open(tmp_path / "words").config["text"]["min_count"] == 1


def test_a_side_is_found_whatever_the_tokens_are(run, tmp_path):
    captions = {"red": "a thing on the Left.", "blue": "a leftover"}
    images = load(write_pictures(tmp_path / "data", captions)).split("train")
    captioner = Captioner.from_run(run, device="cpu")
    options = one_epoch(tmp_path / "data", tmp_path / "new", text=CHARACTERS)
    options = replace(options, encoder=replace(options.encoder, mirror=True))
    examples, usable = make_examples(captioner, options, images, "train", Tally(2))
    assert [image.captions[0] for image in usable] == list(captions.values())
    assert examples.mirror.tolist() == [False, True]


def test_an_evaluation_has_a_limit_of_damage_of_its_own(
    chinese: Path, run: Path, tmp_path: Path
) -> None:
    """The limit that its refusal advises."""
    data = shutil.copytree(chinese, tmp_path / "data")
    with (data / "captions.jsonl").open("a") as file:
        file.write("broken\n")
    copy = shutil.copytree(run, tmp_path / "run")
    evaluation = ["captioning", "evaluate", copy, "--data", data]
    refused = run_here(*evaluation)
    assert refused.returncode == 1 and "--max-problems 0.2 " in refused.stderr
    done = run_here(*evaluation, "--max-problems", 0.2)
    assert done.returncode == 0, done.stderr
    assert evaluate_run(copy, data=str(data), max_problems=0.2, device="cpu").metrics["loss"] > 0


def test_pictures_of_a_folder_that_cannot_be_read_are_named(run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "b.svg").write_text("<svg/>")
    done = run_here("captioning", "caption", run, tmp_path)
    assert done.returncode == 0 and done.stdout.count("\n") == 1
    assert "pictures that Pillow cannot read here, SVG: 1 (b.svg). Convert to" in done.stderr
