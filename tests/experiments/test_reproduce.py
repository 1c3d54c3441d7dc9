"""A run's command is printed, as text: nothing of what it says is run, opened or sent to a terminal."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import captioning.options
import seq2seq.options
from common.cli.command_line import parse_options
from common.errors import UserError
from common.runs import Run
from common.runs.origin import what_makes_it
from experiments import reproduce
from experiments.reproduce import lines


def stored(options: object, kind: str, **made_by: object) -> dict:
    config = json.loads(json.dumps(asdict(options), default=str))
    return {"format": 2, "kind": kind, "config": config, "made_by": made_by}


def test_the_recorded_command_is_printed_under_what_made_the_run():
    options = captioning.options.TrainOptions(data="d", run_dir=Path("r"))
    made_by = what_makes_it() | {
        "command": "python -m captioning train --data 'my data' --run-dir r"
    }
    *comments, command = lines(stored(options, "captioner", **made_by), "config.json")
    assert command == made_by["command"]
    assert all(line.startswith("# ") for line in comments)
    text = "\n".join(comments)
    assert f"python {made_by['versions']['python']}" in text and "torch" in text
    assert f"commit: {made_by['commit']}" in text


@pytest.mark.parametrize("module", [captioning.options, seq2seq.options])
def test_without_one_the_configuration_makes_the_command(module):
    plain = module.TrainOptions(data="d", run_dir=Path("r"))
    options = replace(
        plain, data="-my $(data)\n", overwrite=True, max_problems=1.0,
        decoder=replace(plain.decoder, hidden_size=32, inject=("init", "output"), gate=True),
        search=replace(plain.search, beam_patience=None, top_k=3),
    )  # fmt: skip
    off = {"normalize": False} if module is captioning.options else {"bidirectional": False}
    options = replace(options, encoder=replace(options.encoder, **off))
    arguments = reproduce.command(stored(options, module.KIND), "config.json")
    assert arguments[:3] == ["python", "-m", module.__name__.partition(".")[0]]
    again = parse_options(module.TrainOptions, arguments[4:], prog="train")
    assert again == replace(options, overwrite=False)
    assert "--batch-size" not in arguments  # which is the default
    *_, command = lines(stored(options, module.KIND), "config.json")
    assert r"'--data=-my $(data)\n'" in command


@pytest.mark.parametrize("module", [captioning.options, seq2seq.options])
def test_a_run_that_began_with_another_is_made_of_it_again(module, tmp_path):
    plain = module.TrainOptions(data="d", run_dir=Path("r"))
    other = replace(plain, decoder=replace(plain.decoder, hidden_size=32, gate=True))
    (tmp_path / "config.json").write_text(json.dumps(stored(other, module.KIND)))
    options = replace(plain, init_from=tmp_path, init_parts=("encoder", "decoder"))
    arguments = reproduce.command(stored(options, module.KIND), "config.json")
    assert arguments[arguments.index("--init-from") + 1] == str(tmp_path)
    assert parse_options(module.TrainOptions, arguments[4:], prog="train") == options


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("python x.py; rm -rf ~", "python 'x.py;' rm -rf '~'"),
        ("python $(reboot) `reboot` > file", "python '$(reboot)' '`reboot`' '>' file"),
        ("python 'a\nb' \x1b[2J\u202e", r"python 'a\nb' '\x1b[2J\u202e'"),
        ("python 'unfinished", "python -m captioning train --data d --run-dir r"),
        (["python"], "python -m captioning train --data d --run-dir r"),
        ("", "python -m captioning train --data d --run-dir r"),
    ],
    ids=str,
)
def test_a_command_is_only_text(tmp_path, monkeypatch, capsys, command, printed):
    options = captioning.options.TrainOptions(data="d", run_dir=Path("r"))
    content = stored(options, "captioner", command=command, commit="\x1b]0;x\x07\nreboot")
    content["made_by"]["versions"] = {"torch\n": "\r2"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    monkeypatch.setattr("sys.argv", ["reproduce", str(tmp_path)])
    reproduce.main()
    assert capsys.readouterr().out.splitlines() == [
        r"# commit: \x1b]0;x\x07\nreboot", r"# versions: torch\n \r2", printed
    ]  # fmt: skip


def test_what_is_no_run_is_refused():
    with pytest.raises(UserError, match="is not the configuration of a run"):
        list(lines({"format": 2}, "config.json"))
    with pytest.raises(UserError, match="records no command"):
        list(lines({"format": 2, "kind": "os.system", "config": {}}, "config.json"))
    with pytest.raises(UserError, match=r"unknown TrainOptions \['warp'\]"):
        list(lines({"format": 1, "kind": "captioner", "config": {"warp": 1}}, "config.json"))


def test_a_run_that_was_resumed_with_other_options_says_by_which_command(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train", "--epochs", "2"])
    Run.create(tmp_path / "run", "toy", {"epochs": 2, "resume": False}).release()
    run = Run.open(tmp_path / "run")
    run.save_training_state({})
    again = {"resume": True, "may_change": ("epochs", "resume")}
    monkeypatch.setattr("sys.argv", ["train", "--resume"])
    Run.create(tmp_path / "run", "toy", {"epochs": 2, "resume": True}, **again).release()
    assert "resumed by" not in Run.open(tmp_path / "run").made_by
    monkeypatch.setattr("sys.argv", ["train", "--resume", "--epochs", "3"])
    Run.create(tmp_path / "run", "toy", {"epochs": 3, "resume": True}, **again).release()
    assert Run.open(tmp_path / "run").made_by["resumed by"].endswith(" --resume --epochs 3")
