"""`--resume` takes the options of its run, `--init-from` those of the model: none is asked for again."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pytest

import captioning.options
import seq2seq.options
from common.cli.command_line import parse_options
from common.config.changes import MAY_CHANGE
from common.config.marks import Folder
from common.config.plain import plain
from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError
from common.runs.contents import FORMAT
from common.training.options import RunOptions, TrainingOptions

PIPELINES = (captioning.options, seq2seq.options)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Try it."""

    run_dir: Annotated[Folder, MAY_CHANGE] = Path("runs/tried")
    """The folder."""
    size: int = 3
    """A size."""
    table: Annotated[Path | None, MAY_CHANGE] = None
    """A table."""


def kept(folder: Path, options: RunOptions, kind: str, **stored: object) -> Path:
    """The folder of a run with these options."""
    folder.mkdir(parents=True)
    content = {"format": FORMAT, "kind": kind, "config": plain(options), **stored}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def begun(folder: Path, module=captioning.options, **changes) -> tuple[Path, RunOptions]:
    """A run of a pipeline with settings that are not the defaults, and its options."""
    made = module.TrainOptions(
        data="/d", run_dir=folder, text=module.TextOptions(min_count=1), overwrite=True,
        decoder=DecoderOptions(hidden_size=64, inject=("output", "init"), gate=True, attention="dot"),
        search=SearchOptions(beam_size=2, top_k=3), training=TrainingOptions(epochs=4, seed=5),
        **changes,
    )  # fmt: skip
    return kept(folder, made, module.KIND), replace(made, resume=True, overwrite=False)


def read(folder: Path, *arguments: object, module=captioning.options, **how):
    words = ["--run-dir", folder, *arguments]
    return parse_options(
        module.TrainOptions, [str(each) for each in words], prog="train", kind=module.KIND, **how
    )


@pytest.mark.parametrize("module", PIPELINES)
def test_a_run_goes_on_by_its_folder_alone(tmp_path, module):
    run, options = begun(tmp_path / "run", module)
    assert read(run, "--resume", module=module) == options
    assert module.TrainOptions.of_run(run) == module.TrainOptions.of_run(str(run)) == options


def test_what_may_change_is_changed_and_what_equals_the_runs_is_fine(tmp_path):
    run, options = begun(tmp_path / "run")
    given = (
        "--data", "there", "--epochs", 9, "--min-count", 1, "--hidden-size=64", "--gate",
        "--inject", "output", "init", "--cache-dir", "c", "--shown-images", 0, "--precision", "auto",
    )  # fmt: skip
    found = read(run, "--resume", *given)
    assert (found.data, found.training.epochs, found.shown_images) == ("there", 9, 0)
    assert found.cache_dir == Path("c")
    data = {"data": "/d", "cache_dir": None, "shown_images": 8}
    assert replace(found, training=options.training, **data) == options
    # And a later call keeps no folder that is of one call.
    assert read(run, "--resume").cache_dir is None


@pytest.mark.parametrize(
    ("typed", "refused", "was"),
    [
        ("--min-count 2", "--min-count 2", "--min-count 1"),
        ("--no-gate", "--no-gate", "--gate"),
        ("--mirror", "--mirror", "--no-mirror"),
        ("--epochs 9 --inject init", "--inject init", "--inject output init"),
        ("--beam-size=5", "--beam-size 5", "--beam-size 2"),
        ("--top-k None", "--top-k None", "--top-k 3"),
        ("--captions-per-image 2", "--captions-per-image 2", "--captions-per-image None"),
        ("--word-embeddings=-v.txt", "--word-embeddings=-v.txt", "--word-embeddings None"),
    ],
)
def test_another_change_is_refused_as_it_was_typed(tmp_path, typed, refused, was):
    run, _ = begun(tmp_path / "run")
    name = refused.partition("=")[0].partition(" ")[0]
    with pytest.raises(UserError) as error:
        read(run, "--resume", *typed.split())
    assert str(error.value) == (
        f"{refused}: {run} was started with {was}, which cannot change while it goes on. "
        f"Leave {name} out, or start another run in another --run-dir."
    )


def test_what_the_schedule_decides_is_as_the_run_has_it(tmp_path):
    cosine = TrainingOptions(epochs=4, schedule="cosine")
    made = captioning.options.TrainOptions(data="d", run_dir=tmp_path / "run", training=cosine)
    run = kept(tmp_path / "run", made, "captioner")
    with pytest.raises(UserError, match=r"^--epochs 9: .* was started with --epochs 4, "):
        read(run, "--resume", "--epochs", 9)
    assert read(run, "--resume", "--epochs", 4, "--patience", 1).training.patience == 1


def test_a_config_begins_runs_and_changes_none_that_goes_on(tmp_path, capsys):
    run, options = begun(tmp_path / "run")
    assert read(run, "--resume", "--config", "flickr8k-context") == options
    said = capsys.readouterr().err
    assert said.startswith(
        f"{run} goes on with its own settings, and not with those of --config fl"
    )
    assert "--min-count 1, " in said and said.endswith(" more\n") and said.count("\n") == 1
    assert (
        read(run, "--resume", config="flickr8k-context") == options
    )  # as experiments begin with one
    assert said == capsys.readouterr().err
    assert read(run, "--resume", "--config", run / "config.json") == options
    (tmp_path / "part.json").write_text(
        json.dumps({"run_dir": str(run), "resume": True, "data": "/d"})
    )
    arguments = ["--config", str(tmp_path / "part.json")]
    assert parse_options(captioning.options.TrainOptions, arguments, prog="train") == options
    assert not capsys.readouterr().err


@pytest.mark.parametrize("module", PIPELINES)
def test_where_no_run_is_one_is_started(tmp_path, capsys, module):
    found = read(tmp_path / "new", "--resume", "--data", "d", module=module)
    assert found == module.TrainOptions(data="d", run_dir=tmp_path / "new", resume=True)
    for arguments, told in (
        (
            ["--run-dir", str(tmp_path / "new")],
            f"--data ({tmp_path}/new holds no run that --resume could",
        ),
        ([], "missing: --data, --run-dir (a run goes on by --run-dir DIR --resume alone)"),
    ):
        with pytest.raises(SystemExit):
            parse_options(
                module.TrainOptions, [*arguments, "--resume"], prog="train", kind=module.KIND
            )
        assert told in capsys.readouterr().err


def test_what_cannot_go_on_is_named(tmp_path):
    run, options = begun(tmp_path / "run")
    old = kept(tmp_path / "old", options, "captioner", format=1)
    with pytest.raises(
        UserError, match="old was begun by an earlier version of unroll .format 1.: it"
    ):
        read(old, "--resume")
    with pytest.raises(UserError, match="run holds a captioner, not a translator"):
        read(run, "--resume", module=seq2seq.options)
    (old / "model.safetensors").touch()
    (old / "config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(UserError, match="old has weights, but no training.pt to resume from"):
        read(old, "--resume")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="config.json is not the configuration of a run"):
        read(tmp_path / "other", "--resume")
    config = plain(options) | {"warp": 9}
    ((tmp_path / "run") / "config.json").write_text(
        json.dumps({"format": FORMAT, "kind": "captioner", "config": config})
    )
    with pytest.raises(UserError, match=r"run/config.json: unknown TrainOptions \['warp'\]"):
        read(run, "--resume")


def test_an_earlier_configuration_goes_on_as_todays_options(tmp_path):
    run, options = begun(tmp_path / "run")
    stored = json.loads((run / "config.json").read_text())
    stored["config"] |= {"min_count": 1, "cache_dir": "of somebody else"}
    del stored["config"]["text"], stored["config"]["init_from"], stored["config"]["init_parts"]
    (run / "config.json").write_text(json.dumps(stored))
    assert read(run, "--resume") == options


def test_an_experiment_goes_on_in_the_folder_that_is_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Options(size=7, training=TrainingOptions(epochs=2))
    kept(made.run_dir, made, "tried")
    found = parse_options(Options, ["--resume"], prog="try", kind="tried")
    assert found == replace(made, resume=True)
    with pytest.raises(UserError, match=r"^--size 8: runs/tried was started with --size 7, "):
        parse_options(Options, ["--resume", "--size", "8"], prog="try", kind="tried")


def test_help_shows_the_settings_of_the_run(tmp_path, capsys):
    run, _ = begun(tmp_path / "run")
    with pytest.raises(SystemExit):
        read(run, "--resume", "--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "--hidden-size N Features of the hidden state. (default: 64)" in shown
    with pytest.raises(SystemExit):
        read("", "--resume")
    assert "usage: train [OPTION ...]" in capsys.readouterr().err


# -- the model of another run ----------------------------------------------------------------------


@pytest.mark.parametrize("module", PIPELINES)
def test_the_model_is_that_of_the_run_whose_weights_are_taken(tmp_path, module):
    run, options = begun(tmp_path / "run", module)
    found = read("new", "--data", "e", "--init-from", run, module=module)
    plainly = module.TrainOptions(data="e", run_dir=Path("new"), init_from=run)
    assert found == replace(
        plainly, text=options.text, encoder=options.encoder, decoder=options.decoder
    )
    found = read("new", "--data", "e", "--init-from", run, "--hidden-size", 32, module=module)
    assert found.decoder == replace(options.decoder, hidden_size=32)
    arguments = ("--data", "e", "--init-from", run, "--init-parts", "encoder")
    found = read("new", *arguments, module=module)
    assert (found.encoder, found.decoder) == (options.encoder, plainly.decoder)
    assert found.init_parts == ("encoder",)


def test_a_config_that_is_named_goes_before_the_model_of_the_run(tmp_path):
    run, options = begun(tmp_path / "run")
    (tmp_path / "mine.json").write_text('{"decoder": {"hidden_size": 16}}')
    found = read("new", "--data", "e", "--init-from", run, "--config", tmp_path / "mine.json")
    assert found.decoder == replace(options.decoder, hidden_size=16)


def test_files_that_its_weights_began_with_are_not_taken(tmp_path):
    encoder = seq2seq.options.EncoderOptions(encoder_size=8, source_embeddings=Path("/gone.txt"))
    run, _ = begun(tmp_path / "run", seq2seq.options, encoder=encoder)
    found = read("new", "--data", "e", "--init-from", run, module=seq2seq.options)
    assert found.encoder == replace(encoder, source_embeddings=None)
    weights = captioning.options.EncoderOptions(weights="none", encoder="small")
    run, _ = begun(tmp_path / "other", encoder=weights)
    assert read("new", "--data", "e", "--init-from", run).encoder == weights


def test_of_an_experiment_all_is_taken_but_how_it_was_trained(tmp_path):
    made = Options(size=7, table=Path("t"), training=TrainingOptions(epochs=2))
    run = kept(tmp_path / "run", made, "tried")
    found = parse_options(Options, ["--init-from", str(run)], prog="try", kind="tried")
    assert found == Options(size=7, init_from=run)


def test_a_run_that_goes_on_asks_for_no_other_run(tmp_path):
    run, options = begun(tmp_path / "run", init_from=Path("/gone"), init_parts=("decoder",))
    assert read(run, "--resume") == options
    assert read(run, "--resume", "--init-from", "/gone") == options
    with pytest.raises(UserError, match=r"^--init-from r: .* was started with --init-from /gone, "):
        read(run, "--resume", "--init-from", "r")


def test_what_is_no_run_to_begin_from_is_named(tmp_path):
    run, _ = begun(tmp_path / "run", seq2seq.options)
    for other, message in (
        (run, "holds a translator, not a captioner"),
        ("none", "does not exist"),
    ):
        with pytest.raises(UserError, match=f"^--init-from: {other} {message}"):
            read("new", "--data", "d", "--init-from", other)
    made = captioning.options.TrainOptions(data="d", run_dir=run, init_parts=("decoder",))
    with pytest.raises(
        UserError, match=r"--init-parts names parts of another run: name it, --init-f"
    ):
        made.check()
    with pytest.raises(UserError, match="is the folder of the new run too"):
        replace(made, init_from=run / ".." / "run").check()
