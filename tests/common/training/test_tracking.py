from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

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
    with Tracker(tmp_path, progress=False, charts=charts):
        pass
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
            tracker.begin_epoch(0, 3, 0)
            tracker.advance(1)
            tracker.show(loss="1.0")
            tracker.say("nothing")
            tracker.rewind(0, tracker.position())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]
    assert capsys.readouterr().err == ""


def test_progress_says_its_lines(tmp_path, capsys):
    with Tracker(progress=True) as tracker:
        tracker.begin_epoch(0, 3, 0)
        tracker.advance(2)
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


def test_a_path_that_is_not_utf8_is_shown(tmp_path):
    with Tracker(tmp_path) as tracker:
        tracker.configuration({"data": Path(os.fsdecode(b"d\xff")), "epochs": 2})
        tracker.best({"loss": 1.0})
