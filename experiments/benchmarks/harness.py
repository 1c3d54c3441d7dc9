"""Timing that can be trusted on a shared machine: interleaved rounds, ratios of the fastest.

One round runs every variant once, in turn, so that a machine whose speed drifts slows all of them
alike. What is reported is the ratio of the fastest rounds (noise only ever adds time), beside the
median. Times are of the process (CPU seconds) on a CPU, of the wall on a GPU, after a synchronisation.
A GPU is used, and named, only where one is asked for.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from common.compute.device import gpu_name, is_gpu

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Timing:
    """Seconds of one variant over the rounds."""

    name: str
    fastest: float
    median: float
    slowest: float


@dataclass(frozen=True)
class Comparison:
    """Variants of one piece of work, the first being what the others are compared with."""

    title: str
    timings: list[Timing]
    bar: str = ""
    items: int = 0  # that the work has of what is counted
    unit: str = ""
    note: str = ""  # a line below the table

    def ratio(self, name: str) -> float:
        """How many times faster than the baseline (the first variant) `name` is, fastest to fastest."""
        by_name = {timing.name: timing for timing in self.timings}
        return self.timings[0].fastest / by_name[name].fastest

    def table(self) -> str:
        rows = [f"{self.title}" + (f"   (bar: {self.bar})" if self.bar else "")]
        rate = f"   {self.unit}/s" if self.items else ""
        rows.append(f"  {'variant':<34}{'fastest ms':>12}{'median ms':>12}{'speed-up':>10}{rate}")
        for timing in self.timings:
            per_second = f"{self.items / timing.fastest:,.0f}" if self.items else ""
            rows.append(
                f"  {timing.name:<34}{timing.fastest * 1e3:>12.2f}{timing.median * 1e3:>12.2f}"
                f"{self.ratio(timing.name):>9.2f}x{per_second:>{len(rate)}}"
            )
        return "\n".join([*rows, f"  {self.note}"] if self.note else rows)

    def to_dict(self) -> dict:
        return {
            "title": self.title,
            "bar": self.bar,
            "items": self.items,
            "unit": self.unit,
            "note": self.note,
            "timings": [
                asdict(timing) | {"speed_up": self.ratio(timing.name)} for timing in self.timings
            ],
        }


def compare(
    title: str,
    variants: dict[str, Callable[[], object]],
    *,
    rounds: int = 7,
    warm_up: int = 1,
    bar: str = "",
    items: int = 0,
    unit: str = "",
    device: torch.device = CPU,
) -> Comparison:
    """Time variants of the same work in interleaved rounds.

    Args:
        title: what is timed.
        variants: name -> the work; the first is the baseline.
        rounds: counted rounds.
        warm_up: rounds before them that are not counted.
        bar: what the ratio should reach, in words.
        items, unit: how much of what the work has, for a rate a second; nothing by default.
        device: where the work is done; a GPU is waited for before the clock is read.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-warm_up, rounds):
        for name, work in variants.items():
            elapsed = _time_once(work, device)
            if number >= 0:
                seconds[name].append(elapsed)
    timings = [
        Timing(name, min(times), statistics.median(times), max(times))
        for name, times in seconds.items()
    ]
    return Comparison(title, timings, bar, items, unit)


def _time_once(work: Callable[[], object], device: torch.device) -> float:
    if is_gpu(device):
        module = torch.get_device_module(device)
        module.synchronize(device)
        start = time.perf_counter()
        work()
        module.synchronize(device)
        return time.perf_counter() - start
    start = time.process_time()
    work()
    return time.process_time() - start


def machine(device: torch.device = CPU) -> dict[str, object]:
    """What the figures were measured on; the GPU only if it was used."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu_name(device),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
