"""Translators that go on by their folder alone, and that begin with the weights of another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common.errors import UserError
from common.runs.weights import read_weights
from common.text.vocabulary import Vocabulary
from seq2seq import Translator
from seq2seq.options import TextOptions, TrainOptions
from seq2seq.train import evaluate_run, train
from tests.commands import run_here
from tests.seq2seq.tiny import CHARACTERS, tiny_options

SUBWORDS = TextOptions(tokenizer="subwords", vocabulary_size=30)


def state(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "training.pt", weights_only=True)["model"]


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def still(options: TrainOptions) -> TrainOptions:
    """Without learning: what a run begins with is what it ends with."""
    return replace(options, training=replace(options.training, epochs=1, learning_rate=0.0))


def vocabulary(run: Path, side: str) -> Vocabulary:
    return Vocabulary.load(run / f"{side}_vocabulary.json")


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """Data with all words of the others but one, and more."""
    folder = tmp_path_factory.mktemp("data") / "own"
    folder.mkdir()
    pairs = [("one two", "zwei eins"), ("three dogs", "hunde drei"), ("cats birds", "vögel katzen")]
    for split, count in (("train", 20), ("val", 1)):
        (folder / f"{split}.en").write_text("".join(f"{en}\n" for en, _ in pairs) * count)
        (folder / f"{split}.de").write_text("".join(f"{de}\n" for _, de in pairs) * count)
    return folder


def test_a_run_goes_on_by_its_folder_alone_at_the_command_line_and_in_code(data, tmp_path):
    whole = tiny_options(data, tmp_path / "whole")
    train(whole)
    part = replace(whole, run_dir=tmp_path / "part", training=replace(whole.training, epochs=1))
    train(part)
    copy = Path(shutil.copytree(tmp_path / "part", tmp_path / "copy"))
    cache = ("--cache-dir", tmp_path / "cache")
    done = run_here(
        "seq2seq", "train", "--run-dir", tmp_path / "part", "--resume", "--epochs", 2, *cache
    )
    assert done.returncode == 0, done.stderr
    assert_same(state(tmp_path / "part"), state(tmp_path / "whole"))
    begun = TrainOptions.of_run(copy)
    train(replace(begun, training=whole.training, cache_dir=tmp_path / "cache"))
    assert_same(state(copy), state(tmp_path / "whole"))
    # Finished, it is still a run that a call may name; and one that is refused stays as it is.
    before = (copy / "config.json").read_bytes()
    refused = run_here("seq2seq", "train", "--run-dir", copy, "--resume", "--min-count", 2)
    assert refused.returncode == 1 and refused.stderr.startswith("error: --min-count 2: ")
    assert refused.stderr.count("\n") == 1 and (copy / "config.json").read_bytes() == before


def test_it_translates_as_the_run_it_begins_with(run, data, tmp_path, capsys):
    train(still(tiny_options(data, tmp_path / "new", init_from=run)))
    assert (
        f"begins with the weights of {run}: encoder, decoder (9 of 9 rows"
        in capsys.readouterr().err
    )
    assert_same(
        read_weights(tmp_path / "new" / "model.safetensors"),
        read_weights(run / "model.safetensors"),
    )
    ours, theirs = (
        evaluate_run(each, "test", device="cpu").metrics for each in (tmp_path / "new", run)
    )
    assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


@pytest.mark.parametrize(("tied", "joint"), [(False, False), (True, True)])
def test_words_that_both_know_keep_their_rows(data, own, tmp_path, capsys, tied, joint):
    options = tiny_options(data, tmp_path / "origin", text=TextOptions(min_count=1, joint=joint))
    decoder = replace(options.decoder, tie_embeddings=tied)
    encoder = replace(options.encoder, share_embeddings=joint)
    options = replace(options, encoder=encoder, decoder=decoder)
    train(replace(options, training=replace(options.training, epochs=1)))
    capsys.readouterr()
    new = tmp_path / "new"
    train(still(replace(options, data=str(own), run_dir=new, init_from=tmp_path / "origin")))
    said = capsys.readouterr().err
    assert ("12 of 16" if joint else "8 of 10") + " rows of encoder.embedding" in said
    ours, theirs = (read_weights(each / "model.safetensors") for each in (new, tmp_path / "origin"))
    rows = {"encoder.embedding.weight": "source", "decoder.embedding.weight": "target"}
    rows |= {"decoder.output.weight": "target", "decoder.output.bias": "target"}
    for name, tensor in ours.items():
        if name not in rows:
            assert torch.equal(tensor, theirs[name]), name
            continue
        here, there = (vocabulary(each, rows[name]) for each in (new, tmp_path / "origin"))
        for row, token in enumerate(here.tokens):
            if token in there.tokens:
                theirs_row = theirs[name][there.tokens.index(token)]
                assert torch.equal(tensor[row], theirs_row), (name, token)
            elif tensor.ndim > 1:  # as a new model begins
                assert not (theirs[name] == tensor[row]).all(1).any(), (name, token)
    if tied:
        assert torch.equal(ours["decoder.output.weight"], ours["decoder.embedding.weight"])
    assert Translator.from_run(new, device="cpu").translate(["one dogs"])


def test_parts_are_taken_alone(run, own, tmp_path):
    theirs = read_weights(run / "model.safetensors")
    for part in ("encoder", "decoder"):
        options = tiny_options(own, tmp_path / part, init_from=run, init_parts=(part,))
        if part == "encoder":  # what is not taken may be as it likes
            options = replace(options, decoder=replace(options.decoder, readout_size=8))
        train(still(options))
        ours = read_weights(tmp_path / part / "model.safetensors")
        body = [name for name in ours if "embedding" not in name and "output" not in name]
        alike = {name for name in body if torch.equal(ours[name], theirs[name])}
        assert alike == {name for name in body if name.startswith(part)}


def test_it_goes_on_without_the_run_it_began_with(data, own, tmp_path):
    origin = tiny_options(data, tmp_path / "origin", text=SUBWORDS)
    train(replace(origin, training=replace(origin.training, epochs=1)))
    for name, epochs in (("whole", 2), ("part", 1)):
        options = replace(
            origin, data=str(own), run_dir=tmp_path / name, init_from=tmp_path / "origin",
            training=replace(origin.training, epochs=epochs),
        )  # fmt: skip
        train(options)
    shutil.rmtree(tmp_path / "origin")
    done = run_here("seq2seq", "train", "--run-dir", tmp_path / "part", "--resume", "--epochs", 2)
    assert done.returncode == 0, done.stderr
    assert_same(state(tmp_path / "part"), state(tmp_path / "whole"))
    config = json.loads((tmp_path / "part" / "config.json").read_text())["config"]
    assert config["init_from"] == str(tmp_path / "origin")


def test_subwords_are_taken_along_unless_others_are_asked_for(data, own, tmp_path, capsys):
    origin = tiny_options(data, tmp_path / "origin", text=SUBWORDS)
    train(replace(origin, training=replace(origin.training, epochs=1)))
    new = replace(origin, data=str(own), init_from=tmp_path / "origin")
    before = [vocabulary(tmp_path / "origin", side) for side in ("source", "target")]
    train(still(replace(new, run_dir=tmp_path / "same")))
    for side, there in zip(("source", "target"), before, strict=True):
        names = [
            (tmp_path / each / f"{side}_tokenizer.json").read_bytes() for each in ("same", "origin")
        ]
        assert names[0] == names[1]
        assert set(there.tokens) <= set(vocabulary(tmp_path / "same", side).tokens)
    # What they cannot write is tokens besides.
    assert any("ö" in token for token in vocabulary(tmp_path / "same", "target"))
    capsys.readouterr()
    text = replace(SUBWORDS, vocabulary_size=34)
    train(still(replace(new, run_dir=tmp_path / "others", text=text)))
    assert "the other tokens are new to it" in capsys.readouterr().err
    done = run_here(
        "seq2seq", "train", "--data", own, "--source", "en", "--target", "de", "--epochs", 1,
        "--run-dir", tmp_path / "typed", "--init-from", tmp_path / "origin",
        "--cache-dir", tmp_path / "cache",
    )  # fmt: skip
    assert done.returncode == 0 and "begins with the weights of" in done.stderr, done.stderr
    assert vocabulary(tmp_path / "typed", "target") == vocabulary(tmp_path / "same", "target")


def test_what_does_not_fit_is_refused_in_one_line(run, data, tmp_path):
    command = (
        "seq2seq", "train", "--data", data, "--source", "en", "--target", "de", "--run-dir",
        tmp_path / "new", "--cache-dir", tmp_path / "cache", "--init-from", run,
    )  # fmt: skip
    for typed, told in (
        (("--hidden-size", 24), ["decoder.recurrent.", "--hidden-size is 32 there and 24 here."]),
        (
            ("--attention", "none"),
            ["it has decoder.attention.", '--attention is "additive" there and'],
        ),
        (
            ("--init-parts", "head"),
            ["--init-parts head: the parts of this model are encoder, decoder."],
        ),
        (
            ("--encoder-layers", 2, "--init-parts", "encoder"),
            ["--encoder-layers is 1 there and 2 here."],
        ),
    ):
        refused = run_here(*command, *typed)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        line = refused.stderr.splitlines()[-1]
        assert line.startswith("error: ") and all(each in line for each in told), line
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="incomplete: source_vocabulary.json is missing"):
        bare = Path(shutil.copytree(run, tmp_path / "bare"))
        (bare / "source_vocabulary.json").unlink()
        train(tiny_options(data, tmp_path / "new", init_from=bare))


def test_a_model_that_was_saved_in_code_is_begun_with(run, data, tmp_path):
    Translator.from_run(run, device="cpu").save(tmp_path / "saved")
    train(still(tiny_options(data, tmp_path / "new", init_from=tmp_path / "saved")))
    assert_same(
        read_weights(tmp_path / "new" / "model.safetensors"),
        read_weights(run / "model.safetensors"),
    )
    other = tiny_options(data, tmp_path / "other", init_from=tmp_path / "saved", text=CHARACTERS)
    train(still(other))  # a few of its characters are tokens there
