"""What the command lines of both pipelines have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common.bounds import Amount, BeamSize, Positive
from common.choices import LengthNorm, Precision
from common.errors import UserError


@dataclass(frozen=True, kw_only=True)
class WritingOptions:
    """How a trained run, or the ensemble of several, writes."""

    run: Positional[Path]
    """A folder that `train` wrote."""
    ensemble: tuple[Path, ...] = ()
    """More runs with the same words: the probabilities of all are averaged at every step."""
    beam_size: BeamSize | None = None
    """Hypotheses kept for each sentence; as in training by default."""
    length_penalty: Amount | None = None
    """Exponent of the length that a sentence's log-probability is divided by; as in training."""
    length_norm: LengthNorm | None = None
    """What it is the exponent of: the length (power), or (5 + length) / 6 (gnmt), milder on short
    sentences; as in training by default."""
    max_length: Positive | None = None
    """Most words or subwords of a sentence; as in training by default."""
    batch_size: Positive = 64
    """Sentences written at a time."""
    precision: Precision | None = None
    """Arithmetic of the search: bf16 is faster where the hardware has it; as in training's
    validations by default."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU if there is one."""

    def search(self) -> dict[str, Any]:
        """The options of `SentenceWriter.generate` that were given; the others stay the run's."""
        names = ("beam_size", "length_penalty", "length_norm", "max_length", "precision")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(WritingOptions):
    """Write a sentence for everything in a split by beam search, and score what was written."""

    split: str = "val"
    """Which part of the data: val, test, or any other split."""
    data: str | None = None
    """Folder of the data, if it is no longer where the run was trained on it."""

    def arguments(self) -> dict[str, Any]:
        """As the pipelines' `evaluate_run` takes them, after the run."""
        names = ("split", "ensemble", "data", "batch_size", "device")
        return {name: getattr(self, name) for name in names} | self.search()


def print_metrics(metrics: Mapping[str, float], signatures: Mapping[str, str] = {}) -> None:
    """Print each metric with its signature: how it was computed.

    Args:
        metrics: those of `teacher_forced` are said to be teacher-forced.
        signatures: of some of them, by the same names.
    """
    from common.training.validation import TEACHER_FORCED

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


def check_n_best(n_best: int, beam_size: int) -> None:
    """Refuse to ask a search for more sentences than it keeps.

    Raises:
        UserError: more than the beam size, or none.
    """
    if not 1 <= n_best <= beam_size:
        raise UserError(
            f"--n-best {n_best} is not between 1 and the beam size, {beam_size}. "
            "Ask for fewer sentences, or for a larger --beam-size."
        )
