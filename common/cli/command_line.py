"""What the command lines of both pipelines have in common."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from common.config.bounds import Positive, Seed, check_bounds
from common.decoding.options import SearchOptions
from common.errors import UserError

if TYPE_CHECKING:
    import torch

    from common.models.writer import Call


@dataclass(frozen=True, kw_only=True)
class WritingOptions:
    """How a trained run, or the ensemble of several, writes."""

    run: Positional[Path]
    """A folder that `train` wrote."""
    ensemble: tuple[Path, ...] = ()
    """More runs with the same words: the probabilities of all are averaged at every step."""
    search: SearchOptions = SearchOptions()
    seed: Seed | None = None
    """Seed of sampling; other samples at every call by default."""
    batch_size: Positive = 64
    """Sentences written at a time."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or any other device of PyTorch; auto takes a GPU if there is one."""

    def call(self, device: torch.device) -> Call:
        """What belongs to a search on a device besides its strategy."""
        import torch

        call: Call = {"precision": self.search.search_precision}
        if self.seed is not None:
            call["generator"] = torch.Generator(device).manual_seed(self.seed)
        return call


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(WritingOptions):
    """Write a sentence for everything in a split by a search, and score what was written."""

    split: str = "val"
    """Which part of the data: val, test, or any other split."""
    data: str | None = None
    """Folder of the data, if it is no longer where the run was trained on it."""

    def arguments(self) -> dict[str, Any]:
        """As the pipelines' `evaluate_run` takes them, after the run."""
        from common.compute.device import choose_device

        names = ("split", "ensemble", "data", "batch_size", "device")
        call = self.call(choose_device(self.device))
        return {name: getattr(self, name) for name in names} | {
            "search": self.search.strategy(), **call
        }  # fmt: skip


def parse(
    commands: dict[str, type[Any]],
    kind: str,
    *,
    prog: str,
    description: str,
) -> Any:
    """Read a pipeline's command line.

    Args:
        commands: the options of each command; those of "train" are what a run keeps.
        kind: of the pipeline's runs. What writes with a trained run takes the defaults of its search
            from there: its arguments are read once to know the run, and once more on top of its search.
        prog, description: as `tyro.cli` takes them.

    Raises:
        UserError: a number is out of bounds, or the options of the search contradict each other.
    """
    config = (OmitArgPrefixes,)
    options = tyro.extras.subcommand_cli_from_dict(
        dict(commands), prog=prog, description=description, config=config
    )
    check_bounds(options)
    if isinstance(options, WritingOptions):
        from common.runs.run import Run

        trained = Run.open(options.run, kind).read_config(commands["train"])
        default = replace(options, search=trained.search)
        options = tyro.cli(
            type(options), args=sys.argv[2:], default=default, prog=prog, config=config
        )
        options.search.strategy()
    return options


def print_metrics(metrics: Mapping[str, float], signatures: Mapping[str, str] = {}) -> None:
    """Print each metric with its signature: how it was computed.

    Args:
        metrics: those of `TEACHER_FORCED` are said to be teacher-forced.
        signatures: of some of them, by the same names.
    """
    from common.models.tokens import TEACHER_FORCED

    for name, value in metrics.items():
        said = ["teacher-forced"] if name in TEACHER_FORCED else []
        said += [signatures[name]] if name in signatures else []
        print(f"{name:<18}{value:>10.4f}  {', '.join(said)}".rstrip())


def check_file(path: Path | None, option: str) -> None:
    """Refuse a file that is not there, before the work that comes before it is read.

    Raises:
        UserError: there is none.
    """
    if path is not None and not path.is_file():
        raise UserError(f"{option} {path}: there is no such file.")


def check_picture(path: Path, option: str) -> None:
    """Refuse a picture's path before the work whose result it shows, and not after it.

    Raises:
        UserError: it is no PNG's, or its folder does not exist.
    """
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"{option} {path}: a PNG is written; name a file that ends in .png.")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}. Make it first.")
