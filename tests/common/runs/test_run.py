from __future__ import annotations

import errno
import json
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import torch
from torch import nn

from common.config import LOCAL, MAY_CHANGE
from common.errors import UserError
from common.files import write_json
from common.runs.lock import NAME
from common.runs.run import FORMAT, Run


@dataclass
class Decoder:
    cell: str = "gru"
    sizes: tuple[int, ...] = (2, 3)


@dataclass
class Settings:
    data: Path = Path("somewhere/data")
    rate: float = 0.001
    epochs: int = 10
    decoder: Decoder = field(default_factory=Decoder)


def names(folder: Path) -> set[str]:
    """Of the files, without that of the lock."""
    return {path.name for path in folder.iterdir()} - {NAME}


def refused(message: str):
    """The block raises a UserError of one line that says `message`."""
    return pytest.raises(UserError, match=rf"\A[^\n]*{message}[^\n]*\Z")


def test_there_and_back(tmp_path):
    made = Run.create(tmp_path / "deep" / "run", "captioner", Settings())
    model = nn.LSTM(3, 4)
    made.save_model(model)
    made.save_training_state({"step": 3, "tensor": torch.arange(3), "nested": [{"a": None}]})
    made.file("samples/1.txt").write_text("a dog runs")
    (tmp_path / "deep" / "run").rename(tmp_path / "moved")

    run = Run.open(tmp_path / "moved", "captioner")
    assert run.config == {
        "data": "somewhere/data",
        "rate": 0.001,
        "epochs": 10,
        "decoder": {"cell": "gru", "sizes": [2, 3]},
    }
    other = nn.LSTM(3, 4)
    run.load_model(other)
    assert all(map(torch.equal, model.parameters(), other.parameters()))
    state = run.load_training_state()
    assert state is not None and state["step"] == 3 and state["nested"] == [{"a": None}]
    assert run.existing("samples/1.txt").read_text() == "a dog runs"


def test_config_says_what_made_it(tmp_path):
    Run.create(tmp_path, "captioner", {})
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["format"] == FORMAT and stored["kind"] == "captioner"
    made_by = stored["made_by"]
    assert made_by["command"].startswith("python ") and made_by["platform"] and "commit" in made_by
    assert made_by["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_a_run_is_not_overwritten_unless_asked(tmp_path):
    run = Run.create(tmp_path / "run", "captioner", {"a": 1})
    run.save_model(nn.Linear(2, 2))
    with refused("holds a run already. Resume it .--resume., replace it .--overwrite."):
        Run.create(tmp_path / "run", "captioner", {"a": 2})
    assert (tmp_path / "run" / "model.safetensors").is_file() and Run.open(
        tmp_path / "run"
    ).config == {"a": 1}


def test_overwriting_deletes_the_run_and_nothing_else(tmp_path):
    folder = tmp_path / "run"
    run = Run.create(folder, "captioner", {"a": 1})
    run.save_model(nn.Linear(2, 2))
    run.save_training_state({})
    for name in ("metrics.jsonl", "tensorboard/events.1", "captions-val.jsonl", "vocabulary.json"):
        run.file(name).write_text("old")
    for name in ("labels.json", "tags-val.conll"):  # of no kind that is known here
        run.file(name).write_text("old")
    (folder / "my notes.txt").write_text("mine")
    (folder / "summary.json").write_text("mine too")  # a name that no run recorded
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("a photograph")
    (folder / "photos").symlink_to(tmp_path / "photos")

    Run.create(folder, "translator", {"a": 2}, overwrite=True)
    assert names(folder) == {"config.json", "files.txt", "my notes.txt", "photos", "summary.json"}
    assert Run.open(folder, "translator").config == {"a": 2}
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_overwriting_does_not_follow_links(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("x")
    run = Run.create(tmp_path / "run", "captioner", {})
    run.file("tensorboard").symlink_to(tmp_path / "elsewhere")
    Run.create(tmp_path / "run", "captioner", {}, overwrite=True)
    assert (tmp_path / "elsewhere" / "precious").exists()
    assert not (run.path / "tensorboard").exists()


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize(
    "name, content",
    [("a.jpg", "x"), ("config.json", "{}"), ("config.json", "[1]"), ("config.json", "no JSON")],
)
def test_a_folder_with_other_files_is_left_alone(tmp_path, options, name, content):
    (tmp_path / name).write_text(content)
    with refused("exists and is not a run folder"):
        Run.create(tmp_path, "captioner", {}, **options)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("x")
    with refused("exists and is not a run folder"):
        Run.create(tmp_path / "file", "captioner", {}, overwrite=True)
    assert (tmp_path / "file").read_text() == "x"


def test_an_empty_folder_is_used(tmp_path):
    Run.create(tmp_path, "captioner", {})
    assert Run.open(tmp_path).kind == "captioner"


def test_what_a_killed_process_left_is_no_obstacle(tmp_path):
    (tmp_path / ".config.json.77-abcd").write_text("{half")
    run = Run.create(tmp_path, "captioner", {})
    run.file("model.safetensors")
    (tmp_path / ".model.safetensors.77-abcd").write_text("half")
    (tmp_path / ".vocabulary.json.new").write_text("half")
    run.file("vocabulary.json")
    (tmp_path / ".hidden").write_text("of the user")
    Run.create(tmp_path, "captioner", {}, resume=True)
    left = names(run.path)
    assert left == {"config.json", "files.txt", ".hidden"}


def test_resume_enters_the_run_or_starts_it(tmp_path):
    first = Run.create(tmp_path / "run", "captioner", Settings(), resume=True)
    first.save_training_state({"step": 1})
    again = Run.create(tmp_path / "run", "captioner", Settings(), resume=True)
    assert again.load_training_state() == {"step": 1}


def test_resume_with_other_settings(tmp_path):
    Run.create(tmp_path, "captioner", Settings())
    created = json.loads((tmp_path / "config.json").read_text())["created"]
    with refused("was started with rate = 0.001, not 0.1. Resume it unchanged"):
        Run.create(tmp_path, "captioner", Settings(rate=0.1), resume=True)
    with refused('was started with decoder.cell = "gru", not "lstm"'):
        Run.create(tmp_path, "captioner", Settings(decoder=Decoder("lstm")), resume=True)
    with refused("was started with rate = 0.001, not 0.1. Resume it unchanged"):
        Run.check(tmp_path, "captioner", Settings(rate=0.1), resume=True)
    with refused("holds a captioner, not a translator"):
        Run.check(tmp_path, "translator", Settings(), resume=True)
    with refused("of another version of unroll, which had a setting data"):
        Run.check(tmp_path, "captioner", {"epochs": 10}, resume=True)
    assert Run.open(tmp_path).config["rate"] == 0.001
    longer = Settings(epochs=20)
    with refused("was started with epochs = 10, not 20"):
        Run.create(tmp_path, "captioner", longer, resume=True)
    run = Run.create(tmp_path, "captioner", longer, resume=True, may_change=["epochs"])
    assert run.config["epochs"] == Run.open(tmp_path).config["epochs"] == 20
    assert json.loads((tmp_path / "config.json").read_text())["created"] == created


def test_settings_that_came_after_the_run_do_not_hinder_it(tmp_path):
    Run.create(tmp_path, "captioner", {"a": 1})
    run = Run.create(tmp_path, "captioner", {"a": 1, "new": 5}, resume=True)
    assert run.config == {"a": 1, "new": 5}


def as_of_format_1(folder: Path) -> None:
    """Make the run of a folder one that recorded no names, as earlier versions wrote it."""
    stored = json.loads((folder / "config.json").read_text())
    del stored["made_by"]
    (folder / "config.json").write_text(json.dumps({**stored, "format": 1, "versions": {}}))
    (folder / "files.txt").unlink()


def test_a_run_of_format_1_is_read_and_replaced_but_not_resumed(tmp_path):
    run = Run.create(tmp_path, "captioner", {"a": 1})
    run.save_model(nn.Linear(2, 2))
    run.keep("vocabulary.json", lambda path: path.write_text("a dog"))
    as_of_format_1(tmp_path)
    (tmp_path / "best-00000001.safetensors").write_text("of that version")
    (tmp_path / "my notes.txt").write_text("mine")

    old = Run.open(tmp_path, "captioner")
    old.load_model(nn.Linear(2, 2))
    assert old.existing("vocabulary.json").read_text() == "a dog"
    before = (tmp_path / "config.json").read_bytes()
    with refused("begun by an earlier version of unroll .format 1.: it can be evaluated and used"):
        Run.create(tmp_path, "captioner", {"a": 1}, resume=True)
    assert (tmp_path / "config.json").read_bytes() == before
    Run.create(tmp_path, "captioner", {"a": 2}, overwrite=True)
    assert names(tmp_path) == {
        "config.json",
        "files.txt",
        "my notes.txt",
    }


def test_what_an_evaluation_writes_into_an_old_run_leaves_the_rest_its_own(tmp_path):
    Run.create(tmp_path, "captioner", {}).save_model(nn.Linear(2, 2))
    as_of_format_1(tmp_path)
    Run.open(tmp_path).file("evaluation-val.json").write_text("{}")
    Run.create(tmp_path, "captioner", {}, overwrite=True)
    assert names(tmp_path) == {"config.json", "files.txt"}


def test_a_record_names_no_file_elsewhere(tmp_path):
    (tmp_path / "precious").write_text("x")
    run = Run.create(tmp_path / "run", "captioner", {})
    with open(run.path / "files.txt", "a") as file:
        file.write("../precious\n/etc/hostname\n..\n")
    Run.create(run.path, "captioner", {}, overwrite=True)
    assert (tmp_path / "precious").exists()


def test_what_cannot_be_opened(tmp_path):
    with refused("nowhere does not exist"):
        Run.open(tmp_path / "nowhere")
    with refused("is not a run folder: it has no config.json"):
        Run.open(tmp_path)
    for content in ("{}", "[]", '{"format": 1, "kind": "x"}', '{"format": "1", "kind": 2}'):
        (tmp_path / "config.json").write_text(content)
        with refused("config.json is not the configuration of a run"):
            Run.open(tmp_path)
    (tmp_path / "config.json").write_text('{"format": 1,\n"kind"')
    with refused("config.json:2: not valid JSON"):
        Run.open(tmp_path)


def test_another_kind_and_a_newer_format(tmp_path):
    Run.create(tmp_path, "captioner", {})
    with refused("holds a captioner, not a translator"):
        Run.open(tmp_path, "translator")
    with refused("holds a captioner, not a translator"):
        Run.create(tmp_path, "translator", {}, resume=True)
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, "format": FORMAT + 1}))
    with refused(f"newer version of unroll .format {FORMAT + 1}, this one reads {FORMAT}.. Update"):
        Run.open(tmp_path)


def test_an_incomplete_run(tmp_path):
    run = Run.create(tmp_path, "captioner", {})
    assert run.load_training_state() is None
    with refused("has no weights yet.*--resume"):
        run.load_model(nn.Linear(2, 2))
    with refused("is incomplete: vocabulary.json is missing. Copy the whole folder"):
        run.existing("vocabulary.json")


def test_a_checkpoint_of_another_architecture(tmp_path):
    run = Run.create(tmp_path, "captioner", {})
    run.save_model(nn.LSTM(3, 4))
    other = nn.LSTM(5, 4)
    before = [parameter.clone() for parameter in other.parameters()]
    with refused(r"another architecture: weight_ih_l0 is \(16, 3\) there and \(16, 5\) here"):
        run.load_model(other)
    assert all(map(torch.equal, before, other.parameters()))
    with refused("another architecture: it has no weight_ih_l0_reverse"):
        run.load_model(nn.LSTM(3, 4, bidirectional=True))
    with refused("another architecture: it has bias_hh_l0, unknown here"):
        run.load_model(nn.LSTM(3, 4, bias=False))


def test_damaged_weights(tmp_path):
    run = Run.create(tmp_path, "captioner", {})
    run.save_model(nn.Linear(30, 20))
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[:100], whole[:-1], b"\xff" * 1000, whole + b"x"):
        path.write_bytes(damaged)
        with refused("model.safetensors is damaged"):
            run.load_model(nn.Linear(30, 20))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_training_state(tmp_path):
    run = Run.create(tmp_path, "captioner", {})
    run.save_training_state({"tensor": torch.arange(1000)})
    path = tmp_path / "training.pt"
    whole = path.read_bytes()
    for damaged in (b"", whole[:50], whole[:-200], b"\xff" * 1000, pickle.dumps(3)):
        path.write_bytes(damaged)
        with refused("training.pt is damaged"):
            run.load_training_state()


class Malicious:
    def __reduce__(self):
        return os.system, ("touch /tmp/this-must-not-happen-$$",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_that_is_loaded_can_run_code(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(os, "system", ran.append)
    run = Run.create(tmp_path, "captioner", {})
    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        write({"step": Malicious()}, tmp_path / "training.pt")
        with refused("training.pt is damaged, or is no training state"):
            run.load_training_state()
        write({"weight": Malicious()}, tmp_path / "model.safetensors")
        with refused("model.safetensors is damaged"):
            run.load_model(nn.Linear(2, 2))
    assert not ran


def test_a_full_disk_leaves_the_old_files(tmp_path, monkeypatch):
    run = Run.create(tmp_path, "captioner", {"a": 1})
    run.save_model(nn.Linear(2, 2))
    run.save_training_state({"step": 1})
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}

    def full(descriptor: int) -> None:
        os.truncate(descriptor, 10)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (
        lambda: run.save_model(nn.Linear(3, 3)),
        lambda: run.save_training_state({"step": 2}),
        lambda: Run.create(tmp_path, "captioner", {"a": 2}, resume=True, may_change=["a"]),
    ):
        with pytest.raises(OSError, match="No space left"):
            write()
        assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_what_a_run_kept_is_known_again(tmp_path):
    def words(text: str):
        return lambda path: path.write_text(text)

    run = Run.create(tmp_path / "run", "translator", {})
    run.keep("vocabulary.json", words("a dog"))
    assert Run.open(run.path).existing("vocabulary.json").read_text() == "a dog"

    resumed = Run.create(run.path, "translator", {}, resume=True)
    resumed.keep("vocabulary.json", words("a dog"))
    with refused("another vocabulary.json: the data has changed"):
        resumed.keep("vocabulary.json", words("a cat"))
    assert run.existing("vocabulary.json").read_text() == "a dog"  # and nothing is left beside it
    assert names(run.path) == {
        "config.json", "files.txt", "vocabulary.json"
    }  # fmt: skip

    (run.path / "vocabulary.json").write_text("a cat")
    with refused("is not the file that this run was trained with"):
        Run.open(run.path).existing("vocabulary.json")
    Run.create(run.path, "translator", {}, overwrite=True).keep("vocabulary.json", words("a cat"))
    assert Run.open(run.path).existing("vocabulary.json").read_text() == "a cat"


@pytest.mark.parametrize(
    "name", ["model.safetensors", "training.pt", "files.txt", "config.json", "vocabulary.json"]
)
def test_nothing_is_read_or_written_through_a_link(tmp_path, name):
    run = Run.create(tmp_path / "run", "captioner", {})
    run.save_model(nn.Linear(2, 2))
    run.save_training_state({"step": 1})
    run.keep("vocabulary.json", lambda path: path.write_text("a dog"))
    (run.path / name).rename(tmp_path / "precious")
    (run.path / name).symlink_to("../precious")
    before = (tmp_path / "precious").read_bytes()
    read = {
        "model.safetensors": lambda: run.load_model(nn.Linear(2, 2)),
        "training.pt": run.load_training_state,
        "files.txt": lambda: run.file("new.txt"),
        "config.json": lambda: Run.open(run.path),
        "vocabulary.json": lambda: run.existing("vocabulary.json"),
    }
    with refused(f"{name} is a link"):
        read[name]()
    if name != "files.txt":  # written anew, it takes the place of the link
        write_json(run.file(name), {})
    assert (tmp_path / "precious").read_bytes() == before


def test_a_folder_of_a_run_is_no_link(tmp_path):
    run = Run.create(tmp_path / "run", "captioner", {})
    (tmp_path / "elsewhere").mkdir()
    (run.path / "samples").symlink_to(tmp_path / "elsewhere")
    with refused("samples is a link to another folder"):
        run.file("samples/1.txt")


@dataclass
class Cached(Settings):
    cache: Annotated[Path | None, LOCAL, MAY_CHANGE] = None


def test_where_a_cache_is_no_run_keeps_and_no_file_says(tmp_path):
    """A folder that is written comes from the command line alone."""
    run = Run.create(tmp_path / "run", "captioner", Cached(cache=tmp_path / "mine"))
    assert "cache" not in Run.open(run.path).config
    stored = json.loads((run.path / "config.json").read_text())
    stored["config"]["cache"] = "/home/somebody"  # as earlier versions stored it, or a stranger
    (run.path / "config.json").write_text(json.dumps(stored))
    assert Run.open(run.path).read_config(Cached) == Cached(data=Path("somewhere/data"))
    resumed = Run.create(
        run.path, "captioner", Cached(cache=tmp_path), resume=True, may_change=["cache"]
    )
    assert resumed.config == run.config


def test_a_file_whose_name_is_not_utf8_is_recorded_as_its_bytes(tmp_path):
    name = os.fsdecode(b"evaluation-h\xff-val.json")
    run = Run.create(tmp_path / "run", "toy", {})
    write_json(run.file(name), {"data": name})
    Run.create(tmp_path / "run", "toy", {}, overwrite=True)
    assert not (tmp_path / "run" / name).exists()
