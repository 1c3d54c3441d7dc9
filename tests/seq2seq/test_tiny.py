"""Ten pairs: memorised by a preset, noted in a usual training, and with splits that stay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from common.cli.command_line import parse_options
from common.errors import UserError
from seq2seq.options import TrainOptions
from seq2seq.train import evaluate_run, train
from seq2seq.translator import Translator
from tests.seq2seq.tiny import tiny_options

PAIRS = [
    ("Good morning, Anna.", "좋은 아침이에요, 안나 씨."), ("Where is the station?", "역이 어디예요?"),
    ("Two coffees, please!", "커피 두 잔 주세요!"), ("The cat sleeps.", "고양이가 자요."),
    ("It's raining today.", "오늘은 비가 와요."), ("My brother is 12.", "제 동생은 12살이에요."),
    ("We went to the sea.", "我们去了海边。"), ("How much is it?", "いくらですか？"),
    ("She lives in Seoul.", "그녀는 서울에 살아요."), ("See you tomorrow.", "До завтра."),
]  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    text = "".join(f"{source}\t{target}\n" for source, target in PAIRS)
    (folder / "pairs.tsv").write_text(text, encoding="utf-8")
    return folder


def test_the_preset_memorises_ten_pairs_exactly(data: Path, tmp_path: Path) -> None:
    """Without any other option; here with fewer epochs, of more updates, and no pictures."""
    arguments = ["--preset", "tiny", "--data", str(data), "--run-dir", str(tmp_path / "run")]
    options = parse_options(TrainOptions, arguments, prog="train", kind="translator")
    assert options == parse_options(TrainOptions, ["--config", *arguments[1:]], prog="train")
    training = replace(options.training, epochs=14, batch_size=1, precision="fp32", device="cpu")
    cache = tmp_path / "cache"
    train(replace(options, training=training, shown_sentences=0, cache_dir=cache))
    translations = Translator.from_run(tmp_path / "run").translate([pair[0] for pair in PAIRS])
    assert translations == [pair[1] for pair in PAIRS]


def test_a_usual_training_of_few_pairs_says_why_it_learns_little(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(data, tmp_path / "run", source=None, target=None)
    train(options)
    said = capsys.readouterr().err
    assert "9 training pairs: 2 epochs give 2 updates" in said or "8 training pairs: 2" in said
    assert "--preset tiny memorises so few" in said
    train(replace(options, run_dir=tmp_path / "other", val_fraction=0.0))
    assert "--preset tiny" not in capsys.readouterr().err


def test_a_run_keeps_its_splits(data: Path, tmp_path: Path) -> None:
    options = tiny_options(data, tmp_path / "run", source=None, target=None, val_fraction=0.4)
    trained = train(options)
    again = evaluate_run(tmp_path / "run", search=None)
    assert again.metrics["exact_match"] == trained.metrics["exact_match"]
    digests = json.loads((tmp_path / "run" / "data.json").read_text())
    longer = replace(options.training, epochs=3)
    resumed = replace(options, training=longer, resume=True)
    with pytest.raises(UserError, match="val_fraction = 0.4, not 0.2"):
        train(replace(resumed, val_fraction=0.2))
    train(replace(resumed, val_fraction=None))  # left out
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert json.loads((tmp_path / "run" / "data.json").read_text()) == digests
    assert config["val_fraction"] == 0.4


def test_a_run_of_an_earlier_version_is_resumed_with_its_splits(data: Path, tmp_path: Path) -> None:
    options = tiny_options(data, tmp_path / "run", source=None, target=None)
    train(options)
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    assert content["config"]["val_fraction"] == 0.05  # what was taken is kept
    for name in ("val_fraction", "encoding"):
        del content["config"][name]
    path.write_text(json.dumps(content))
    longer = replace(options.training, epochs=3)
    train(replace(options, training=longer, resume=True))
    evaluate_run(tmp_path / "run")


def test_other_data_are_evaluated_whole(data: Path, tmp_path: Path) -> None:
    train(tiny_options(data, tmp_path / "run", source=None, target=None, val_fraction=0.5))
    other = tmp_path / "other"
    other.mkdir()
    text = "".join(f"{source}\t{target}\n" for source, target in PAIRS[:6])
    (other / "val.tsv").write_bytes(text.encode("utf-16"))
    (other / "dev2.tsv").write_text(text.replace("\t", ","), encoding="utf-8")
    scores = evaluate_run(tmp_path / "run", data=str(other), format="tabs")
    assert len(scores.outputs) == 6
