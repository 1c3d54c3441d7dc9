"""This checkout's speed against another one's: paired rounds of the same benchmarks, in turn.

    git worktree add ../before COMMIT
    python -m experiments.benchmarks compare ../before --rounds 15
    python -m experiments.benchmarks compare ../before translator beam

Each checkout has a process of its own, with the same Python, for all rounds. They take turns
(A B, B A, A B, ...), so that a machine whose speed drifts slows both alike. A row shows the median over
the rounds of the throughput of this checkout divided by that of the other, with the quartiles: 1.0 is
equal, 0.97 is 3 % slower.

Of a checkout only this is used: `suite.comparisons(name, device)`, which passes each row to
`harness.compare(title, variants, ...)`; so the two may differ in everything else. The process of a
checkout runs this very file, which therefore imports nothing of the project at its top.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THIS = Path(__file__).resolve().parents[2]
ROUND_SECONDS = 0.2  # short work is repeated until a round lasts about this long


@dataclass(frozen=True)
class Ratio:
    """One row: throughput of this checkout over that of the other.

    Args:
        title, variant: of the row.
        rounds: the ratio of each round.
        seconds: median time of the work in this checkout and in the other.
    """

    title: str
    variant: str
    rounds: list[float]
    seconds: tuple[float, float]

    def line(self) -> str:
        low, middle, high = quartiles(self.rounds)
        this, other = (f"{1e3 * each:.1f}" for each in self.seconds)
        return (
            f"  {self.variant:<34}{middle:>8.3f}   ({low:.3f} to {high:.3f}){this:>12} ms"
            f"{other:>10} ms"
        )


def compare_checkouts(
    other: Path,
    names: Sequence[str],
    *,
    this: Path = THIS,
    rounds: int = 15,
    threads: int = 1,
    device: str = "cpu",
) -> Iterator[Ratio | str]:
    """Measure the benchmarks of two checkouts in turn.

    Args:
        other, this: the root folders of the checkouts.
        names: of the benchmarks, as `suite.comparisons` takes them.
        rounds: measured rounds of each row, after one that is not counted.
        threads, device: of both.

    Yields:
        The ratio of each row, or a message about a row that one of them lacks.

    Raises:
        RuntimeError: a checkout's process ended, with its message on stderr.
    """
    with _Process(this, threads, device) as ours, _Process(other, threads, device) as theirs:
        for name in names:
            found: list[dict[tuple[str, str], int]] = [
                {(title, variant): items for title, variant, items in process.ask(name)}
                for process in (ours, theirs)
            ]
            for row in dict.fromkeys((*found[0], *found[1])):
                if row in found[0] and row in found[1]:
                    items = [each[row] for each in found]
                    items = items if all(items) else [1, 1]  # not counted: the same work
                    yield _measure(row, (ours, theirs), items, rounds)
                else:
                    lacking = other if row in found[0] else this
                    yield f"{', '.join(row)}: left out, {lacking} lacks it"


def _measure(
    row: tuple[str, str], processes: Sequence[_Process], items: list[int], rounds: int
) -> Ratio:
    warm_up = max(process.ask(*row, 1) for process in processes)
    repeats = max(1, math.ceil(ROUND_SECONDS / max(warm_up, 1e-6)))
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            seconds[which].append(processes[which].ask(*row, repeats))
    ratios = [items[0] / ours / (items[1] / theirs) for ours, theirs in zip(*seconds, strict=True)]
    return Ratio(*row, ratios, (statistics.median(seconds[0]), statistics.median(seconds[1])))


def quartiles(values: list[float]) -> list[float]:
    """The lower quartile, the median and the upper quartile."""
    return statistics.quantiles(values, n=4, method="inclusive") if values[1:] else 3 * values


class _Process:
    """A checkout's process.

    `ask(benchmark)` gives its rows, (title, variant, items) each; `ask(title, variant, repeats)` times
    one of them.
    """

    def __init__(self, checkout: Path, threads: int, device: str) -> None:
        self.checkout = checkout.resolve()
        self._child = subprocess.Popen(
            # -P: this file's folder is not where its imports come from.
            [sys.executable, "-P", __file__, str(threads), device],
            cwd=self.checkout,
            env=os.environ | {"PYTHONPATH": str(self.checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *question: str | int) -> Any:
        assert self._child.stdin is not None and self._child.stdout is not None
        with suppress(BrokenPipeError):  # then it has no answer either
            print(json.dumps(question), file=self._child.stdin, flush=True)
        if not (answer := self._child.stdout.readline()):
            raise RuntimeError(f"the benchmarks of {self.checkout} failed at {question}")
        return json.loads(answer)

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()


def _serve(threads: int, device_name: str) -> None:
    """Answer the questions of `_Process.ask`, one a line, with the code of the current folder."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what the code prints is no answer
    import torch

    from experiments.benchmarks import harness

    if not Path(harness.__file__).is_relative_to(Path.cwd()):
        raise RuntimeError(f"{Path.cwd()} has no benchmarks")
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    rows: dict[tuple[str, str], tuple[Callable[[], object], bool]] = {}
    found: list[tuple[str, str, int]] = []

    def collect(title: str, variants: dict, *, items: int = 0, **_: object) -> harness.Comparison:
        """In the place of `harness.compare`: keep the work, to be timed later."""
        for variant, work in variants.items():
            rows[title, variant] = work, torch.is_grad_enabled()
            found.append((title, variant, items))
        return harness.Comparison(title, [harness.Timing(name, 1, 1, 1) for name in variants])

    harness.compare = collect  # before the benchmarks import it
    from experiments.benchmarks import suite

    for line in sys.stdin:
        question = json.loads(line)
        answer: object
        if len(question) == 1:
            rows.clear()
            found.clear()
            list(suite.comparisons(question[0], device))
            answer = found
        else:
            work, gradients = rows[question[0], question[1]]
            with torch.set_grad_enabled(gradients):
                answer = _seconds(work, question[2], device)
        print(json.dumps(answer), file=answers, flush=True)


def _seconds(work: Callable[[], object], repeats: int, device: Any) -> float:
    """Of one repetition: CPU time on a CPU, wall time on a GPU."""
    import torch

    on_gpu = device.type != "cpu"
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    for _ in range(repeats):
        work()
    if on_gpu:
        torch.get_device_module(device).synchronize(device)
    return (clock() - start) / repeats


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
