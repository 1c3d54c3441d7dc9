from __future__ import annotations

import errno
import json
import math
import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from common.errors import UserError
from common.training.tracking import Tracker


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    accumulator.Reload()
    return accumulator


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_figures_go_to_both_files(tmp_path):
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.step = 3
        tracker.scalars({"train/loss": 2.5, "speed/tokens_per_second": 100.0}, epoch=1)
        tracker.scalars({"train/loss": math.inf}, step=4)
    assert lines(tmp_path) == [
        {"step": 3, "epoch": 1, "train/loss": 2.5, "speed/tokens_per_second": 100.0},
        {"step": 4, "train/loss": None},
    ]
    shown = events(tmp_path)
    assert [(e.step, e.value) for e in shown.Scalars("train/loss")] == [(3, 2.5), (4, math.inf)]


def test_a_line_is_on_disk_at_once(tmp_path):
    tracker = Tracker(tmp_path, tensorboard=False, progress=False)
    tracker.scalars({"a": 1.0}, step=1)
    assert lines(tmp_path) == [{"step": 1, "a": 1.0}]
    tracker.close()


def test_a_run_keeps_its_curves(tmp_path):
    with Tracker(tmp_path, tensorboard=False, progress=False) as tracker:
        tracker.step = 1
        assert tracker.curve("flow", [1.0, 2.0]) == ([1], [[1.0, 2.0]])
        tracker.scalars({"a": 1.0})
        before = tracker.position()
        tracker.step = 2
        tracker.curve("flow", [5.0, 6.0])
        tracker.rewind(1, before)
        tracker.step = 2
        assert tracker.curve("flow", [3.0, math.inf])[0] == [1, 2]
    with Tracker(tmp_path, tensorboard=False, progress=False) as tracker:  # a resumed run
        tracker.step = 3
        tracker.curve("other", [0.0])
        steps, curves = tracker.curve("flow", [7.0, 8.0])
    assert steps == [1, 2, 3] and curves[::2] == [[1.0, 2.0], [7.0, 8.0]]
    assert curves[1][0] == 3.0 and math.isnan(curves[1][1])
    alone = Tracker(progress=False)
    alone.curve("flow", [1.0])
    assert alone.curve("flow", [2.0]) == ([0, 0], [[1.0], [2.0]])


def test_texts_and_pictures(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    picture = Image.new("L", (8, 6), 200)
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.text("captions", "*a dog*", step=1)
        tracker.images("sheet", picture, step=1)
        tracker.images("attention", [picture, picture.convert("RGBA")], step=2)
        figure = pyplot.figure()
        tracker.figure("gradients", figure, step=2)
    shown = events(tmp_path)
    assert set(shown.Tags()["images"]) == {"sheet", "attention/0", "attention/1", "gradients"}
    image = shown.Images("attention/1")[0]
    assert (image.step, image.width, image.height) == (2, 8, 6)
    assert "captions/text_summary" in shown.Tags()["tensors"]
    assert not pyplot.fignum_exists(figure.number)


def test_hparams_have_settings_and_the_newest_best_metrics(tmp_path):
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.configuration({"rate": 0.1, "decoder": {"cell": "gru"}, "bf16": True, "x": None})
        tracker.best({"bleu4": 0.1}, step=5)
        tracker.best({"bleu4": 0.2}, step=9)
    assert len(list((tmp_path / "tensorboard").rglob("events.*"))) == 1, "in the run's own folder"
    shown = events(tmp_path)
    assert [e.value for e in shown.Scalars("best/bleu4")] == pytest.approx([0.1, 0.2])

    def data(tag: str) -> plugin_data_pb2.HParamsPluginData:
        content = shown.SummaryMetadata(tag).plugin_data.content
        return plugin_data_pb2.HParamsPluginData.FromString(content)

    settings = data("_hparams_/session_start_info").session_start_info.hparams
    assert settings["rate"].number_value == 0.1
    assert settings["decoder.cell"].string_value == "gru"
    assert settings["bf16"].string_value == "True"
    metrics = data("_hparams_/experiment").experiment.metric_infos
    assert [metric.name.tag for metric in metrics] == ["best/bleu4"]
    assert "configuration/text_summary" in shown.Tags()["tensors"]


@pytest.mark.parametrize("charts", [{}, {"errors": ("train/error", "validation/error")}])
def test_charts_of_a_task_stand_beside_loss_speed_and_memory(tmp_path, charts):
    with Tracker(tmp_path, progress=False, charts=charts) as tracker:
        tracker.text("a", "b")
    (event,) = events(tmp_path).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    found = {chart.title: tuple(chart.multiline.tag) for c in layout.category for chart in c.chart}
    assert found == charts | {
        "loss": ("train/loss", "validation/loss"), "per second": ("speed/.*",),
        "memory": ("memory/.*",),
    }  # fmt: skip


def test_each_part_can_be_left_out(tmp_path, capsys):
    for tracker in (
        Tracker(None, progress=False),
        Tracker(tmp_path / "run", tensorboard=False, progress=False),
    ):
        with tracker:
            tracker.configuration({"a": 1})
            tracker.scalars({"a": 1.0}, step=1)
            tracker.text("a", "b")
            tracker.images("a", Image.new("RGB", (2, 2)))
            tracker.best({"a": 1.0})
            tracker.say("nothing")
            tracker.rewind(0, tracker.position())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]
    assert capsys.readouterr().err == ""


def test_progress_says_its_lines(tmp_path, capsys):
    with Tracker(progress=True) as tracker:
        tracker.say("epoch 1  loss 2.0")
    assert capsys.readouterr().err == "epoch 1  loss 2.0\n"


def test_rewinding_forgets_what_came_after(tmp_path):
    with Tracker(tmp_path, progress=False) as tracker:
        for step in (1, 2):
            tracker.scalars({"a": float(step)}, step=step)
        position = tracker.position()
        tracker.scalars({"a": 3.0}, step=3)
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.rewind(2, position)
        assert tracker.step == 2
        tracker.scalars({"a": 30.0}, step=3)
    assert [line["a"] for line in lines(tmp_path)] == [1.0, 2.0, 30.0]
    assert [(e.step, e.value) for e in events(tmp_path).Scalars("a")] == [(1, 1), (2, 2), (3, 30)]


def test_rewinding_to_the_beginning_keeps_what_this_process_wrote(tmp_path):
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.configuration({"a": 1})
        tracker.scalars({"a": 1.0}, step=1)
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.configuration({"a": 1})
        tracker.rewind(0, 0)
        tracker.scalars({"a": 2.0}, step=1)
    assert lines(tmp_path) == [{"step": 1, "a": 2.0}]
    shown = events(tmp_path)
    assert [e.value for e in shown.Scalars("a")] == [2.0]
    assert len(shown.Tensors("configuration/text_summary")) == 1


def test_rewinding_an_unfinished_file_that_is_shorter_changes_nothing(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with Tracker(tmp_path, tensorboard=False, progress=False) as tracker:
        tracker.rewind(5, 1000)
        tracker.scalars({"a": 1.0}, step=6)
    assert lines(tmp_path) == [{"step": 1}, {"step": 6, "a": 1.0}]


def everything(folder: Path) -> list[tuple]:
    """Tag, step and content of every event, in TensorBoard's order."""
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.append((value.tag, event.step, value.tensor.SerializeToString()))
    return found


def report(tracker: Tracker, step: int) -> None:
    """All kinds of events."""
    tracker.scalars({"train/loss": 1 / step}, step=step)
    tracker.text("captions", f"text {step}", step=step)
    tracker.images("sheet", Image.new("RGB", (2, 2), (step, 0, 0)), step=step)
    tracker.best({"bleu4": float(step)}, step=step)


@pytest.mark.parametrize("later", [1000.0, -1000.0])  # seconds that the clock was set
def test_what_is_written_again_stands_once(tmp_path, monkeypatch, later):
    settings = {"rate": 0.1}
    with Tracker(tmp_path / "whole", progress=False) as tracker:
        tracker.configuration(settings)
        for step in (1, 2, 3):
            report(tracker, step)
    with Tracker(tmp_path / "part", progress=False) as tracker:
        tracker.configuration(settings)
        report(tracker, 1)
        report(tracker, 2)
        position = json.loads(json.dumps(tracker.position()))
        report(tracker, 2)  # a validation at the step of the state, and after it
        report(tracker, 3)
    now = time.time() + later
    monkeypatch.setattr(time, "time", lambda: now)
    for _ in range(2):
        with Tracker(tmp_path / "part", progress=False) as tracker:
            tracker.configuration(settings)
            tracker.rewind(2, position)
            report(tracker, 3)
            ends = tracker.position()
    with Tracker(
        tmp_path / "part", progress=False
    ) as tracker:  # a finished run has nothing to write
        tracker.configuration(settings)
        tracker.rewind(3, ends)
    assert everything(tmp_path / "part") == everything(tmp_path / "whole")
    assert lines(tmp_path / "part") == lines(tmp_path / "whole")
    assert len(list((tmp_path / "part" / "tensorboard").iterdir())) == 2
    times = [event.wall_time for event in events(tmp_path / "part").Scalars("train/loss")]
    assert times == sorted(times) and len(times) == 3


def test_settings_that_a_resumed_run_changes_are_shown(tmp_path):
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.configuration({"epochs": 1})
        report(tracker, 1)
        position = tracker.position()
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.configuration({"epochs": 2})
        tracker.rewind(1, position)
        report(tracker, 2)
    tags = [tag for tag, *_ in everything(tmp_path)]
    assert tags.count("configuration/text_summary") == 2
    assert tags.count("_hparams_/session_start_info") == 2
    assert tags.count("custom_scalars__config__") == 1


def test_an_interrupted_validation_is_taken_back(tmp_path):
    with Tracker(tmp_path, progress=False) as tracker:
        before = tracker.position()
        report(tracker, 1)
        tracker.rewind(1, before)
        assert not everything(tmp_path)
        report(tracker, 1)
        assert "custom_scalars__config__" in {tag for tag, *_ in everything(tmp_path)}
        after = tracker.position()
        report(tracker, 1)
        tracker.rewind(1, after)
    assert [(tag, step) for tag, step, _ in everything(tmp_path)].count(("train/loss", 1)) == 1
    assert len(lines(tmp_path)) == 1


@pytest.mark.parametrize("what", ["metrics.jsonl", "tensorboard", "*", "."])
def test_files_that_are_deleted_meanwhile_are_written_again(tmp_path, capsys, what):
    folder = tmp_path / "run"
    with Tracker(folder, progress=False) as tracker:
        report(tracker, 1)
        before = everything(folder)
        for path in [folder] if what == "." else list(folder.glob(what)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        report(tracker, 2)
        report(tracker, 3)
    assert [line["step"] for line in lines(folder)] == [1, 2, 3]
    assert everything(folder)[: len(before)] == before
    assert [event.step for event in events(folder).Scalars("train/loss")] == [1, 2, 3]
    warned = capsys.readouterr().err.splitlines()
    assert all("was deleted while it was being written" in line for line in warned)
    assert len(warned) == {"metrics.jsonl": 1, "tensorboard": 1}.get(what, 2)


def test_a_folder_that_is_moved_is_followed(tmp_path):
    with Tracker(tmp_path / "run", progress=False) as tracker:
        report(tracker, 1)
        (tmp_path / "run").rename(tmp_path / "moved")
        report(tracker, 2)
    assert [line["step"] for line in lines(tmp_path / "moved")] == [1, 2]
    assert not (tmp_path / "run").exists()


def test_a_failure_of_tensorboard_does_not_end_the_training(tmp_path, capsys, monkeypatch):
    with Tracker(tmp_path, progress=False) as tracker:
        report(tracker, 1)
        before = everything(tmp_path)

        def full(file: int, data: bytes) -> int:
            if b"tag" in bytes(data) or b"train/loss" in bytes(data) and data[:1] != b"{":
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(file, data)

        write = os.write
        monkeypatch.setattr(os, "write", full)
        for step in (2, 3):
            report(tracker, step)
    assert everything(tmp_path) == before
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    (warned,) = capsys.readouterr().err.splitlines()
    assert "training goes on" in warned and "No space left" in warned


@pytest.mark.parametrize("name", ["metrics.jsonl", "tensorboard"])
def test_links_are_not_followed(tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    run = tmp_path / "run"
    run.mkdir()
    if name == "tensorboard":
        elsewhere.mkdir()
        (elsewhere / "events.out.tfevents.1.theirs").write_text("theirs")
    else:
        elsewhere.write_text("theirs")
    (run / name).symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link"), Tracker(run, progress=False) as tracker:
        tracker.rewind(0, 0)
    assert (
        "theirs"
        in (
            elsewhere / "events.out.tfevents.1.theirs" if elsewhere.is_dir() else elsewhere
        ).read_text()
    )


def test_a_link_among_the_event_files_is_not_followed(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    (tmp_path / "run" / "tensorboard").mkdir(parents=True)
    link = tmp_path / "run" / "tensorboard" / "events.out.tfevents.0000000001.theirs"
    link.symlink_to(theirs)
    with Tracker(tmp_path / "run", progress=False) as tracker:
        tracker.rewind(1, {"sizes": {link.name: 1}})
        report(tracker, 1)
    assert theirs.read_text() == "theirs" and not link.is_symlink()


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    """Its state has the size of metrics.jsonl alone."""
    with Tracker(tmp_path, progress=False) as tracker:
        report(tracker, 1)
        position = tracker.position()["sizes"]["metrics.jsonl"]
        report(tracker, 2)
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.rewind(1, position)
        report(tracker, 2)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]
    assert [event.step for event in events(tmp_path).Scalars("train/loss")] == [1, 2]


def test_a_path_that_is_not_utf8_is_shown(tmp_path):
    with Tracker(tmp_path) as tracker:
        tracker.configuration({"data": Path(os.fsdecode(b"d\xff")), "epochs": 2})
        tracker.best({"loss": 1.0})
