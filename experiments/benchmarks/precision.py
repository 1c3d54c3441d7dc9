"""Work in float32, in bfloat16, and in what `--precision auto` chooses.

auto measures products of the model's own sizes once in a process, which is reported separately, and
then computes in the precision that it chose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from common.compute.device import tensor_float32
from common.compute.precision import Chosen, arithmetic, choose_precision
from common.models.encoder_decoder import Batch
from common.training.options import TrainingOptions
from experiments.benchmarks.harness import Comparison, compare

PRECISIONS: tuple[Chosen, ...] = ("fp32", "bf16")


def compare_precisions(
    title: str,
    model: nn.Module,
    work: Callable[[Chosen], None],
    rounds: int,
    device: torch.device,
    items: int,
    unit: str,
) -> Comparison:
    """Time the work of a model in each precision, and in the one that auto chooses.

    Args:
        title, rounds, device, items, unit: as in `compare`.
        model: its sizes are measured by auto.
        work: takes the precision.
    """
    start = time.perf_counter()
    chosen = choose_precision("auto", model, device)
    once = time.perf_counter() - start
    variants: dict[str, Callable[[], object]] = {
        precision: partial(work, precision) for precision in PRECISIONS
    }
    variants["auto"] = lambda: work(choose_precision("auto", model, device))
    found = compare(
        title, variants, rounds=rounds, bar="auto at most 1.15 times as long as the faster one",
        items=items, unit=unit, device=device,
    )  # fmt: skip
    return replace(
        found,
        note=f"auto chose {chosen}: {cost_of_auto(found):.2f} of the faster one's time, "
        f"and {1000 * once:.0f} ms once for its choice",
    )


def cost_of_auto(comparison: Comparison) -> float:
    """The time of auto over that of the faster precision."""
    fastest = {timing.name: timing.fastest for timing in comparison.timings}
    return fastest["auto"] / min(fastest[precision] for precision in PRECISIONS)


def training_epoch(
    model: nn.Module, batches: Sequence[Batch], device: torch.device
) -> Callable[[Chosen], None]:
    """The updates of an epoch as a function of the precision: forward, backward and AdamW."""
    optimizer = TrainingOptions().make_optimizer(model.train())

    def epoch(precision: Chosen) -> None:
        for batch in batches:
            with tensor_float32(device, allowed=precision == "bf16"):
                with arithmetic(device, precision):
                    loss = model.loss(batch).value  # type: ignore[operator]
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return epoch
