"""Benchmarks measure what they say: both sides compute the same, the table follows from the times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments.benchmarks import (
    beam,
    captioner,
    cells,
    checkouts,
    corpus,
    decoder,
    padding,
    precision,
    recurrent,
    translator,
)
from experiments.benchmarks.harness import Comparison, Timing, machine


def test_the_table_follows_from_the_times():
    timings = [Timing("loop", 2.0, 2.5, 3.0), Timing("fused", 0.5, 0.6, 0.7)]
    comparison = Comparison("work", timings, items=100, unit="words")
    assert comparison.ratio("fused") == 4.0
    _, head, loop, fused = comparison.table().splitlines()
    assert head.endswith("words/s") and loop.endswith(" 50") and fused.endswith("200")
    assert comparison.to_dict()["timings"][1]["speed_up"] == 4.0


def test_a_ratio_stands_beside_its_bar():
    timings = [Timing(name, time, time, time) for name, time in (("theirs", 2.0), ("ours", 1.5))]
    for most, verdict in ((0.75, "holds"), (0.7, "MISSED")):
        table = Comparison("work", timings, bars={"ours": most}).table()
        assert f"0.750 of its time (bar: {most}): {verdict}" in table
        assert table.count("bar") == 1


def test_a_library_that_is_missing_is_named_once(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torchrecurrent", None)  # as if it were not installed
    cells.peer.cache_clear()
    for name in ("JANET", "MGU"):
        comparison = cells.beside_torchrecurrent(name, 2, 3, 4, rounds=1)
        assert not comparison.bars
    (line,) = capsys.readouterr().err.splitlines()
    assert "without torchrecurrent: pip install" in line
    cells.peer.cache_clear()


@pytest.mark.parametrize(
    "measure",
    [
        # Each compares the results of its variants before it times them.
        lambda: decoder.attention_decoder(regions=4, batch=3, vocabulary=20, rounds=1),
        lambda: decoder.context_decoder(batch=3, vocabulary=20, rounds=1),
        lambda: beam.batched_beam(sentences=3, beam_size=2, vocabulary=20, rounds=1),
        lambda: translator.training(batches=1, batch_size=2, rounds=1),
        lambda: translator.decoding(sentences=2, beam_size=2, rounds=1),
        lambda: recurrent.standard_cell("lstm", 2, 3, 4, 5, rounds=1),
        lambda: recurrent.padded_standard_cell("gru", 2, 3, 4, 5, rounds=1),
        lambda: cells.beside_torchrecurrent("JANET", 2, 3, 4, rounds=1),
        lambda: cells.min_gru(2, 3, 4, rounds=1),
        lambda: cells.min_gru_beside_its_peer(2, 3, 4, rounds=1),
        lambda: cells.with_masks(cells.MGUCell, 2, 3, 4, rounds=1),
        lambda: captioner.training(batches=1, batch_size=4, rounds=1),
        lambda: captioner.decoding(sentences=2, beam_size=2, rounds=1),
    ],
    ids=[
        "attention",
        "context",
        "beam",
        "training",
        "decoding",
        "recurrent",
        "padded",
        "beside others",
        "minGRU",
        "minGRU beside its peer",
        "masks",
        "captioner training",
        "captioner decoding",
    ],
)
def test_each_comparison_runs(measure):
    comparison = measure()
    assert comparison.timings  # one alone where a library is missing
    assert all(0 < timing.fastest <= timing.slowest for timing in comparison.timings)


def test_what_auto_costs_follows_from_the_times():
    timings = [Timing(name, time, time, time) for name, time in (("fp32", 4.0), ("bf16", 2.0))]
    timings.append(Timing("auto", 2.2, 2.2, 2.2))
    assert precision.cost_of_auto(Comparison("work", timings)) == pytest.approx(1.1)


def test_a_gpu_is_named_only_if_it_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    assert machine()["gpu"] is None
    assert machine(torch.device("cuda"))["gpu"] == "a GPU"


def test_buckets_waste_less_than_a_random_order():
    waste = padding.caption_padding()
    assert 1 <= waste.bucketed < 1.05 < waste.shuffled


def test_a_corpus_is_trained_on_in_a_process_of_its_own(tmp_path):
    taken = corpus.footprint(tmp_path, 300, steps=2)
    assert "300" in taken.line()


HARNESS = """
from collections import namedtuple

Comparison, Timing = namedtuple("Comparison", "title timings"), namedtuple("Timing", "a b c d")
"""
SUITE = """
import torch
from experiments.benchmarks.harness import compare

def comparisons(name, device):
    if name == "sums":
        print("not an answer")
        with torch.no_grad():
            yield compare("sum", {{"long": lambda: work({steps})}}, items={items}, unit="words")
        yield compare("only in {steps}", {{"short": lambda: None}})

def work(steps):
    assert not torch.is_grad_enabled()
    sum(range(steps))
"""


def write_checkout(folder: Path, steps: int, items: int) -> Path:
    """A checkout whose benchmark has so much work and counts so many items."""
    benchmarks = folder / "experiments" / "benchmarks"
    benchmarks.mkdir(parents=True)
    for package in (benchmarks.parent, benchmarks):  # without one, an installed package comes first
        (package / "__init__.py").touch()
    (benchmarks / "harness.py").write_text(HARNESS)
    (benchmarks / "suite.py").write_text(SUITE.format(steps=steps, items=items))
    return folder


@pytest.mark.parametrize(("items", "expected"), [(0, 3), (1, 3), (6, 0.5)])
def test_two_checkouts_are_compared_by_throughput(tmp_path, items, expected):
    """This one needs a third of the other's time; the other may count more items in its work."""
    this = write_checkout(tmp_path / "this", 1_000_000, items and 1)
    other = write_checkout(tmp_path / "other", 3_000_000, items)
    ratio, *left_out = checkouts.compare_checkouts(other, ["sums", "none"], this=this, rounds=3)
    assert (ratio.title, ratio.variant, len(ratio.rounds)) == ("sum", "long", 3)
    low, middle, high = checkouts.quartiles(ratio.rounds)
    assert low <= middle <= high and 0.6 * expected < middle < 1.6 * expected
    assert f"{middle:.3f}" in ratio.line()
    assert left_out == [
        f"only in 1000000, short: left out, {other} lacks it",
        f"only in 3000000, short: left out, {this} lacks it",
    ]


def test_a_checkout_that_fails_is_named(tmp_path):
    this = write_checkout(tmp_path / "this", 1, 1)
    other = write_checkout(tmp_path / "other", 1, 1)
    (other / "experiments/benchmarks/suite.py").write_text("import a_module_that_is_not_there")
    with pytest.raises(RuntimeError, match=f"{other} failed"):
        list(checkouts.compare_checkouts(other, ["sums"], this=this, rounds=1))


def test_this_checkout_equals_itself():
    command = [sys.executable, "-m", "experiments.benchmarks", "compare", ".", "recurrent"]
    shown = subprocess.run(
        [*command, "--rounds=1"], cwd=checkouts.THIS, capture_output=True, text=True, check=True
    )
    lines = [line.rsplit(None, 8) for line in shown.stdout.splitlines() if line.startswith("  ")]
    assert len(lines) == 19  # three cells by three routes, padded too, and one with normalisation
    assert all(0.5 < float(line[1]) < 2 for line in lines), shown.stdout
