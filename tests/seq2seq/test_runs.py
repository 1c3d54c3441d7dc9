"""Runs of the translator: resumed, evaluated, moved, of other versions and of strangers."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.decoding import Greedy
from common.errors import UserError
from common.runs.run import Run
from seq2seq import Translator
from seq2seq.options import TrainOptions
from seq2seq.train import evaluate_run, train
from tests.commands import assert_refused_at_once, run_module
from tests.seq2seq.tiny import CHARACTERS, WORDS, tiny_options, write_pairs


@pytest.mark.parametrize("attention", ["none", "general"])
def test_a_run_repeats_and_a_resumed_one_ends_the_same(data, tmp_path, attention):
    whole = tiny_options(data, tmp_path / "whole")
    whole = replace(whole, decoder=replace(whole.decoder, attention=attention, inject=("init",)))
    train(whole)
    part = replace(whole, run_dir=tmp_path / "part")
    part = replace(part, training=replace(whole.training, epochs=1))
    train(part)
    train(replace(part, training=whole.training, resume=True))
    ends = [(tmp_path / name / "training.pt") for name in ("whole", "part")]
    first, second = (torch.load(path, weights_only=True)["model"] for path in ends)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_evaluation_writes_scores_signatures_and_translations(run):
    evaluation = evaluate_run(run, "test", device="cpu")
    written = json.loads((run / "evaluation-test.json").read_text())
    assert written.pop("signatures") == evaluation.signatures
    assert written.pop("search")["beam_size"] == 2
    assert written.pop("precision") == "fp32"
    assert written.pop("data").endswith("numbers") and written.pop("ensemble") == []
    assert "case:lc" in evaluation.signatures["bleu"]
    assert written == pytest.approx(evaluation.metrics)
    assert {"bleu", "chrf", "exact_match", "perplexity", "tokens", "seconds"} <= set(written)
    assert len((run / "translations-test.txt").read_text().splitlines()) == 12


def test_tensorboard_holds_what_it_promises(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run))
    events.Reload()
    tags = events.Tags()
    scalars = {"1 scores and loss/bleu", "1 scores and loss/training loss", "(best)/bleu"}
    scalars |= {"2 validation/chrf", "2 validation/perplexity", "3 training/gradient_norm"}
    scalars |= {"5 speed/tokens_per_second"}
    assert scalars <= set(tags["scalars"])
    assert tags["images"] == [f"4 pictures/with attention/{number}" for number in range(2)]
    (table,) = events.Tensors("1 texts/translations/text_summary")[-1].tensor_proto.string_val
    assert table.decode().startswith("| source | translation | log-probability | reference |\n")


def test_a_run_stays_until_nothing_more_can_refuse_the_one_that_replaces_it(run, data, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    before = {path.name for path in copy.iterdir()}
    with pytest.raises(UserError, match="no training pair"):
        train(tiny_options(data, copy, overwrite=True, max_tokens=1, text=CHARACTERS))
    assert {path.name for path in copy.iterdir()} == before


def test_a_line_of_any_length_is_validated_on_without_its_scores(data, tmp_path, capsys):
    folder = Path(shutil.copytree(data, tmp_path / "data"))
    for language, word in (("en", "one"), ("de", "eins")):
        path = folder / f"val.{language}.gz"
        text = gzip.decompress(path.read_bytes()).decode()
        path.write_bytes(gzip.compress((f"{word} " * 20_000 + "\n" + text).encode()))
    options = tiny_options(folder, tmp_path / "run")
    evaluation = train(replace(options, training=replace(options.training, epochs=1)))
    assert len(evaluation.outputs) == 21
    assert "leave out 1 of 21 pairs" in capsys.readouterr().err
    assert evaluate_run(tmp_path / "run", "val", device="cpu").metrics["perplexity"] > 1


def test_bleu_finds_the_words_of_a_language_without_blanks(data, tmp_path):
    folder = tmp_path / "chinese"
    folder.mkdir()
    for split in ("train", "val"):
        (folder / f"{split}.en").write_text("i like dogs\n" * 20)
        (folder / f"{split}.zh").write_text("我喜欢小狗。\n" * 20)
    options = tiny_options(folder, tmp_path / "run", target="zh")
    options = replace(options, training=replace(options.training, epochs=1))
    assert "tok:zh" in train(options).signatures["bleu"]
    found = evaluate_run(tmp_path / "run", bleu_tokenize="char", device="cpu")
    assert "tok:char" in found.signatures["bleu"]
    assert options.scoring()["tokenize"] == "zh"
    assert replace(options, target="ja-JP").scoring()["tokenize"] == "char"
    assert replace(options, target="de").scoring()["tokenize"] == "13a"


def test_a_run_without_its_vocabulary_is_named(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "target_vocabulary.json").unlink()
    with pytest.raises(UserError, match="incomplete: target_vocabulary.json"):
        Translator.from_run(copy, device="cpu")


def test_a_run_knows_its_languages_and_its_data(data, tmp_path):
    options = tiny_options(data, tmp_path / "run", source=None, target="de")
    train(options)
    assert json.loads((options.run_dir / "config.json").read_text())["config"]["source"] == "en"
    before = (options.run_dir / "evaluation-val.json").read_text()

    other = tmp_path / "other"
    for name, count, seed in (("train", 300, 0), ("val", 20, 9)):  # other validation sentences
        write_pairs(other, name, count, seed)
    with pytest.raises(UserError, match=r"another data\.json: the data has changed"):
        train(replace(options, data=str(other), resume=True))
    evaluate_run(options.run_dir, "val", data=str(other), device="cpu")
    evaluate_run(options.run_dir, "val", ensemble=[options.run_dir], device="cpu")
    assert (options.run_dir / "evaluation-val.json").read_text() == before
    greedy = Greedy(min_length=1, max_length=20, length_penalty=0.7)
    evaluate_run(options.run_dir, "val", search=greedy, bleu_tokenize="char", device="cpu")
    for name in ("other-val", "val-ensemble-run", "val-search-Greedy-tok-char"):
        assert (options.run_dir / f"evaluation-{name}.json").is_file()

    backwards = tmp_path / "backwards"
    backwards.mkdir()
    for end in ("ko", "he"):
        (backwards / f"val.{end}").write_text("one\n")
    with pytest.raises(UserError, match="en"):
        evaluate_run(options.run_dir, "val", data=str(backwards), device="cpu")


def test_a_run_that_was_moved_is_resumed(run, data, tmp_path):
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    options = tiny_options(data, moved, resume=True, cache_dir=run.parent / "cache")
    longer = replace(options, training=replace(options.training, epochs=3))
    train(longer)
    assert json.loads((moved / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] == 3


def test_other_settings_are_refused_before_the_text_is_read(data, tmp_path):
    options = tiny_options(data, tmp_path / "run", source=None)
    short = replace(options.training, epochs=1, schedule="cosine")
    train(replace(options, training=short))
    before = sorted((tmp_path / "cache").iterdir())
    again = replace(options, resume=True, training=short)
    for changed, message in (
        (replace(again, text=CHARACTERS), 'started with text.tokenizer = "words"'),
        (replace(again, target="en", source="de"), 'started with source = "en"'),
        # Every learning rate of a cosine depends on where it ends.
        (
            replace(again, training=replace(options.training, schedule="cosine")),
            "started with training.epochs = 1, not 2",
        ),
    ):
        with pytest.raises(UserError, match=message):
            train(changed)
    with pytest.raises(UserError, match="do not go together"):
        attention = replace(options.decoder, attention="dot", hidden_size=20)
        train(replace(again, decoder=attention, text=CHARACTERS, run_dir=tmp_path / "new"))
    assert sorted((tmp_path / "cache").iterdir()) == before


def test_seeds_learn_from_the_same_pairs_and_can_be_an_ensemble(tmp_path):
    (tmp_path / "data").mkdir()
    pairs = [f"one {one} {two}\teins {two} {one}" for one in WORDS for two in WORDS] * 4
    (tmp_path / "data" / "pairs.tsv").write_text("\n".join(f"{n} {p}" for n, p in enumerate(pairs)))
    runs = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(runs):
        options = tiny_options(tmp_path / "data", folder, source=None, target=None)
        train(replace(options, training=replace(options.training, epochs=1, seed=seed)))
    first, second = (json.loads((folder / "data.json").read_text()) for folder in runs)
    assert first == second
    evaluate_run(runs[0], ensemble=runs[1:], device="cpu")


def test_a_vocabulary_of_another_run_is_noticed(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    path = copy / "target_vocabulary.json"
    path.write_text(path.read_text().replace("drei", "acht"))  # as many words, but others
    done = run_module("seq2seq", "translate", copy, "-", input="one")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "target_vocabulary.json is not the file that this run was trained with" in done.stderr


def test_a_measured_precision_is_printed_kept_and_resumed_with(data, tmp_path, monkeypatch, capsys):
    options = tiny_options(data, tmp_path / "run", shown_sentences=0)
    training = replace(options.training, epochs=1, precision="auto")
    search = replace(options.search, search_precision="auto")
    options = replace(options, training=training, search=search)

    def kept() -> str:
        return json.loads((tmp_path / "run" / "config.json").read_text())["config"]["training"][
            "precision"
        ]

    def took(split: str) -> str:
        return json.loads((tmp_path / "run" / f"evaluation-{split}.json").read_text())["precision"]

    monkeypatch.setattr("common.compute.precision.bfloat16_speed_up", lambda model, device: 2.0)
    train(options)
    assert "precision bf16: products in bfloat16 are 2.00 times as fast" in capsys.readouterr().err
    assert kept() == took("val") == "bf16"
    monkeypatch.setattr("common.compute.precision.bfloat16_speed_up", lambda model, device: 1.1)
    train(replace(options, training=replace(training, epochs=2), resume=True))
    assert kept() == took("val") == "bf16"  # what training chose stays
    evaluate_run(tmp_path / "run", "test", device="cpu")
    assert took("test") == "fp32"  # a search measures anew
    with pytest.raises(UserError, match=r'precision = "bf16", not "fp32"'):
        train(replace(options, training=replace(training, precision="fp32"), resume=True))


def test_a_run_of_format_1_is_read_without_the_options_that_are_gone(data, tmp_path):
    options = tiny_options(data, tmp_path / "run", text=CHARACTERS)
    train(options)
    before = Translator.from_run(tmp_path / "run").translate(["ein hund rennt."])
    path = tmp_path / "run/config.json"
    stored = json.loads(path.read_text())
    config = stored["config"]
    config["text"]["subword_sampling"] = 0.1
    config["training"] |= {"average_best": 3, **config.pop("loss")}
    path.write_text(json.dumps(stored | {"format": 1}))
    assert Translator.from_run(tmp_path / "run").translate(["ein hund rennt."]) == before
    read = Run.open(tmp_path / "run", "translator").read_config(TrainOptions)
    assert read.text == CHARACTERS and read.loss == options.loss


@pytest.mark.parametrize(
    "part, name, value",
    [("encoder", "encoder_size", size) for size in (30_000, 2**31, 10**30, 1e30, [16])]
    + [("encoder", "encoder_layers", 10**6), ("decoder", "num_layers", 100)],
)
def test_options_of_a_stranger_cost_neither_memory_nor_time(run, tmp_path, part, name, value):
    assert_refused_at_once(
        run,
        tmp_path / "run",
        (part, name, value),
        lambda run: Translator.from_run(run, device="cpu"),
    )
