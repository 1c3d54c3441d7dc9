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
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.data import provider
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.backend_context import Context

from common.errors import UserError
from common.runs.run import Run
from common.training.tracking import Tracker


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0})
    accumulator.Reload()
    return accumulator


LOSS = "1 scores and loss/training loss"  # the tag of "train/loss"


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
    assert [(e.step, e.value) for e in shown.Scalars(LOSS)] == [(3, 2.5), (4, math.inf)]


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
    names = ("sheet", "attention/0", "attention/1", "gradients")
    assert set(shown.Tags()["images"]) == {f"4 pictures/{name}" for name in names}
    image = shown.Images("4 pictures/attention/1")[0]
    assert (image.step, image.width, image.height) == (2, 8, 6)
    assert "1 texts/captions/text_summary" in shown.Tags()["tensors"]
    assert not pyplot.fignum_exists(figure.number)


def hparams(folder: Path) -> tuple[list[str], list[str], dict[str, dict[str, float]]]:
    """What TensorBoard's page of HParams has of the runs in a folder: settings, metrics in their order,
    and of each run the values of the metrics."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    plugin = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, "")))
    found = plugin.hparams_metadata(RequestContext(), "")
    nothing = provider.ListHyperparametersResult(hyperparameters=[], session_groups=[])
    page = plugin.experiment_from_metadata(RequestContext(), "", True, found, nothing)
    values = plugin.read_last_scalars(RequestContext(), "", provider.RunTagFilter())
    return (
        [each.name for each in page.hparam_infos],
        [each.name.tag for each in page.metric_infos],
        {run: {tag: last.value for tag, last in tags.items()} for run, tags in values.items()},
    )


def test_hparams_show_the_settings_and_metrics_of_all_runs(tmp_path):
    for name, monitor, settings in (
        ("captioner", "cider_d", {"decoder": {"cell": "gru"}, "fit": "crop", "images": None}),
        ("translator", "bleu", {"decoder": {"cell": "lstm"}, "rate": 0.1, "device": "cpu"}),
    ):
        with Tracker(tmp_path / name, progress=False) as tracker:
            tracker.monitor = monitor
            compared = {"decoder.cell", "fit", "rate", "images"}
            tracker.configuration(settings, compared)
            for step, value in ((1, 0.5), (2, 0.25)):
                tracker.step = step
                metrics = {"loss": 1.0, "bleu1": 0.9, monitor: value, "seconds": 1.0}
                tracker.scalars({f"validation/{name}": each for name, each in metrics.items()})
                if step == 1:
                    tracker.best(metrics)
    settings, metrics, values = hparams(tmp_path)
    assert settings == ["decoder.cell", "fit", "rate"]  # which differ first; no path, no device
    assert metrics[:2] == ["(best)/bleu", "(best)/cider_d"]
    assert set(metrics[2:4]) == {"(best)/with/bleu1", "(best)/with/loss"}
    assert values["captioner"]["(best)/cider_d"] == 0.5, "not of the last validation"
    assert values["translator"]["1 scores and loss/bleu"] == 0.25


def test_settings_are_shown_from_the_first_event_and_once(tmp_path):
    """As numbers where they are; before any validation, so that a stopped run is there too."""
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.configuration({"rate": 0.1, "decoder": {"cell": "gru"}, "bf16": True, "x": None})
        tracker.scalars({"train/loss": 1.0})
        tracker.scalars({"train/loss": 0.5})
    shown = events(tmp_path)
    content = shown.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["rate"].number_value == 0.1
    assert settings["decoder.cell"].string_value == "gru"
    assert settings["bf16"].string_value == "True" and "x" not in settings
    assert "2 configuration/text_summary" in shown.Tags()["tensors"]
    assert [tag for tag, *_ in everything(tmp_path)].count("_hparams_/session_start_info") == 1


def test_charts_of_a_task_stand_among_those_of_every_training(tmp_path):
    charts = {"errors": ("train/error", "validation/error"), "BLEU": ("validation/bleu1",)}
    with Tracker(tmp_path, progress=False, charts=charts) as tracker:
        tracker.monitor, tracker.unit = "exact_match", "tokens"
        tracker.text("a", "b")
    (event,) = events(tmp_path).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    found = {
        page.title: {chart.title: tuple(chart.multiline.tag) for chart in page.chart}
        for page in layout.category
    }
    assert found == {
        "scores": {
            "exact match": ("1 scores and loss/exact_match$",), "BLEU": ("2 validation/bleu1$",),
        },
        "training": {
            "loss": ("1 scores and loss/training loss$", "1 scores and loss/validation loss$"),
            "errors": ("3 training/error$", "2 validation/error$"),
            "learning rate": ("3 training/learning_rate.*",),
            "gradient norm": ("3 training/gradient_norm$",),
        },
        "speed and memory": {
            "tokens per second": ("5 speed/tokens_per_second$",),
            "examples per second": ("5 speed/examples_per_second$",), "memory": ("6 memory/.*",),
        },
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
    assert len(shown.Tensors("2 configuration/text_summary")) == 1


def test_rewinding_an_unfinished_file_that_is_shorter_changes_nothing(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with Tracker(tmp_path, tensorboard=False, progress=False) as tracker:
        tracker.rewind(5, 1000)
        tracker.scalars({"a": 1.0}, step=6)
    assert lines(tmp_path) == [{"step": 1}, {"step": 6, "a": 1.0}]


def everything(folder: Path) -> list[tuple]:
    """Tag, step and content of every event, in TensorBoard's order."""
    found = []
    for path in sorted(folder.glob("events.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.append((value.tag, event.step, value.tensor.SerializeToString()))
    return found


def report(tracker: Tracker, step: int) -> None:
    """All kinds of events."""
    tracker.scalars({"train/loss": 1 / step}, step=step)
    tracker.text("captions", f"text {step}", step=step)
    tracker.images("sheet", Image.new("RGB", (2, 2), (step, 0, 0)), step=step)
    tracker.step = step
    tracker.best({"bleu4": float(step)})


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
    assert len(list((tmp_path / "part").glob("events.*"))) == 2
    times = [event.wall_time for event in events(tmp_path / "part").Scalars(LOSS)]
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
    assert tags.count("2 configuration/text_summary") == 2
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
    assert [(tag, step) for tag, step, _ in everything(tmp_path)].count((LOSS, 1)) == 1
    assert len(lines(tmp_path)) == 1


@pytest.mark.parametrize("what", ["metrics.jsonl", "events.*", "*", "."])
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
    assert [event.step for event in events(folder).Scalars(LOSS)] == [1, 2, 3]
    warned = capsys.readouterr().err.splitlines()
    assert all("was deleted while it was being written" in line for line in warned)
    assert len(warned) == {"metrics.jsonl": 1, "events.*": 1}.get(what, 2)


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
            if b"tag" in bytes(data) or LOSS.encode() in bytes(data) and data[:1] != b"{":
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


def test_a_link_is_not_followed(tmp_path):
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    run.mkdir()
    elsewhere.write_text("theirs")
    (run / "metrics.jsonl").symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link"), Tracker(run, progress=False) as tracker:
        tracker.rewind(0, 0)
    assert elsewhere.read_text() == "theirs"


def test_a_link_among_the_event_files_is_not_followed(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / "events.out.tfevents.0000000001.theirs.1.unroll"
    link.symlink_to(theirs)
    with Tracker(tmp_path / "run", progress=False) as tracker:
        tracker.rewind(1, {"sizes": {link.name: 1}})
        report(tracker, 1)
    assert theirs.read_text() == "theirs" and not link.is_symlink()


def test_event_files_of_another_writer_stay(tmp_path):
    """Of the SummaryWriter of somebody's own code, in the same folder."""
    theirs = tmp_path / "events.out.tfevents.1700000000.host.1.0"
    theirs.write_text("theirs")
    with Tracker(tmp_path, progress=False) as tracker:
        tracker.rewind(0, {})
        report(tracker, 1)
        tracker.rewind(0, {})
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize("link", [False, True])
def test_event_files_of_an_earlier_version_are_moved_to_the_run(tmp_path, link):
    """They were in a folder of their own; what came after the state is forgotten as ever."""
    run = Run.create(tmp_path / "run", "toy", {})
    with Tracker(run.path, progress=False) as tracker:
        report(tracker, 1)
        sizes = tracker.position()["sizes"]
        report(tracker, 2)
    (ours,) = run.path.glob("events.*")
    name = ours.name.removesuffix(".unroll")
    earlier = tmp_path / "elsewhere" if link else run.path / "tensorboard"
    earlier.mkdir()
    ours.rename(earlier / name)
    if link:
        (run.path / "tensorboard").symlink_to(earlier)
    position = {"sizes": {name: sizes[ours.name], "metrics.jsonl": sizes["metrics.jsonl"]}}
    with Tracker(run.path, progress=False) as tracker:
        tracker.rewind(1, position)
        report(tracker, 2)
    shown = [event.step for event in events(run.path).Scalars(LOSS)]
    assert shown == ([2] if link else [1, 2])
    assert (earlier / name).exists() == (run.path / "tensorboard").exists() == link
    run.release()
    Run.create(run.path, "toy", {}, overwrite=True)
    assert not list(run.path.glob("events.*"))


def test_event_files_that_cannot_be_moved_do_not_end_the_training(tmp_path, capsys, monkeypatch):
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    earlier = tmp_path / "tensorboard"
    earlier.mkdir()
    (earlier / "events.out.tfevents.1700000000.host.1").write_text("before")
    (tmp_path / "metrics.jsonl").touch()
    monkeypatch.setattr(Path, "rename", refuse)
    with Tracker(tmp_path, progress=False) as tracker:
        report(tracker, 1)
    assert [event.step for event in events(tmp_path).Scalars(LOSS)] == [1]
    (warned,) = capsys.readouterr().err.splitlines()
    assert str(earlier) in warned and "cross-device" in warned
    assert [path.read_text() for path in earlier.iterdir()] == ["before"]


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
    assert [event.step for event in events(tmp_path).Scalars(LOSS)] == [1, 2]


def test_a_path_that_is_not_utf8_is_shown(tmp_path):
    with Tracker(tmp_path) as tracker:
        tracker.configuration({"data": Path(os.fsdecode(b"d\xff")), "epochs": 2})
        tracker.best({"loss": 1.0})
