"""Timing on a shared machine: interleaved rounds, ratios of the fastest.

One round runs every variant once, in turn, so that a machine whose speed drifts slows all of them
alike. The result is the ratio of the fastest rounds (noise only adds time), with the median. Times are
CPU seconds of the process on a CPU, and wall time after a synchronisation on a GPU.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

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
    """Variants of the same work; the others are compared with the first.

    Args:
        title: what is timed.
        timings: of each variant.
        bar: what the ratio should reach, in words.
        bars: by name, the most time that a variant should take, as a multiple of the first's.
        items, unit: the number of items in the work, for a rate per second; none by default.
        note: a line below the table.
    """

    title: str
    timings: list[Timing]
    bar: str = ""
    items: int = 0
    unit: str = ""
    note: str = ""
    bars: Mapping[str, float] = field(default_factory=dict)

    def ratio(self, name: str) -> float:
        """The fastest time of the first variant over that of `name`."""
        (fastest,) = (timing.fastest for timing in self.timings if timing.name == name)
        return self.timings[0].fastest / fastest

    def table(self) -> str:
        rows = [f"{self.title}" + (f"   (bar: {self.bar})" if self.bar else "")]
        rate = f"   {self.unit}/s" if self.items else ""
        rows.append(f"  {'variant':<34}{'fastest ms':>12}{'median ms':>12}{'speed-up':>10}{rate}")
        for timing in self.timings:
            per_second = f"{self.items / timing.fastest:,.0f}" if self.items else ""
            rows.append(
                f"  {timing.name:<34}{timing.fastest * 1e3:>12.2f}{timing.median * 1e3:>12.2f}"
                f"{self.ratio(timing.name):>9.2f}x{per_second:>{len(rate)}}"
                + self._against_bar(timing.name)
            )
        return "\n".join([*rows, f"  {self.note}"] if self.note else rows)

    def _against_bar(self, name: str) -> str:
        if name not in self.bars:
            return ""
        found, most = 1 / self.ratio(name), self.bars[name]
        return f"   {found:.3f} of its time (bar: {most}): {'holds' if found <= most else 'MISSED'}"

    def to_dict(self) -> dict:
        timings = [asdict(each) | {"speed_up": self.ratio(each.name)} for each in self.timings]
        return asdict(self) | {"timings": timings}


def compare(
    title: str,
    variants: dict[str, Callable[[], object]],
    *,
    rounds: int = 7,
    bar: str = "",
    bars: Mapping[str, float] | None = None,
    items: int = 0,
    unit: str = "",
    device: torch.device = CPU,
) -> Comparison:
    """Time variants of the same work in interleaved rounds.

    Args:
        title, bar, bars, items, unit: as in `Comparison`.
        variants: name -> the work; the first is the baseline.
        rounds: measured rounds, after one that is not counted.
        device: of the work; a GPU is synchronised before the clock is read.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(1 + rounds):
        for name, work in variants.items():
            seconds[name].append(_time_once(work, device))
    timings = [
        Timing(name, min(times), statistics.median(times), max(times))
        for name, (_, *times) in seconds.items()
    ]
    return Comparison(title, timings, bar, items, unit, bars=bars or {})


def _time_once(work: Callable[[], object], device: torch.device) -> float:
    on_gpu = is_gpu(device)
    clock = time.perf_counter if on_gpu else time.process_time
    wait = torch.get_device_module(device).synchronize if on_gpu else lambda device: None
    wait(device)
    start = clock()
    work()
    wait(device)
    return clock() - start


def machine(device: torch.device = CPU) -> dict[str, object]:
    """The machine of a measurement; its GPU only if it was used."""
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
