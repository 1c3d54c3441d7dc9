"""Training models that write sentences, and evaluating their runs by any search, alone or together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.compute.device import DeviceLike
from common.compute.precision import choose_precision
from common.decoding.search import Search
from common.models.encoder_decoder import Batch, EncoderDecoder
from common.models.options import WriterRunOptions
from common.models.tokens import TEACHER_FORCED, TOKEN_CHARTS, token_figures
from common.models.vocabularies import token_rows
from common.models.writer import Call, Writer
from common.runs.run import Run
from common.text.language import Language
from common.training import session
from common.training.initial_weights import TokenRows
from common.training.task import Evaluation, Task
from common.training.validation import held_out


class Evaluated(Call, total=False):
    """How a run is evaluated, by name: a `Call`, and besides

    ensemble: more runs, whose probabilities are averaged with those of the first.
    data: the folder of the data; where the run was trained on it by default.
    search: the strategy; as in training by default.
    batch_size: sentences written at a time.
    device: cpu, cuda, ...; auto takes a GPU if there is one.
    on_evaluated: called with the evaluation before it is written, which may fail.
    """

    ensemble: Sequence[Path]
    data: str | None
    search: Search | None
    batch_size: int
    device: DeviceLike
    on_evaluated: session.OnEvaluated


def evaluate_written(
    writer: type[Writer],
    options: type[Any],
    make_task: session.MakeTask[Any],
    folder: Path,
    split: str,
    *,
    changes: Mapping[str, Any],
    changed: Mapping[str, Any] | None = None,
    **how: Any,
) -> Evaluation:
    """Evaluate a run, or an ensemble of runs, as `session.evaluate` does, by a search.

    Args:
        writer: the class that reads the runs.
        options, make_task, folder, split, changes, changed: as `session.evaluate` takes them.
        how: see `Evaluated`; and further arguments of the task's own `evaluate`.

    Raises:
        UserError: a run or the data cannot be used.
    """
    trained = writer.from_run(folder, *how.get("ensemble", ()), device=how.get("device", "auto"))
    own, now = trained.search.to_dict(), (how.get("search") or trained.search).to_dict()
    other = {name: value for name, value in now.items() if own.get(name) != value}
    how["precision"] = choose_precision(how.get("precision", trained.precision), trained.model)
    return session.evaluate(
        folder, options, make_task, writer.KIND, split,
        model=trained.model, changes=changes, changed={**other, **(changed or {})}, **how,
    )  # fmt: skip


def writing_task(
    options: WriterRunOptions,
    model: EncoderDecoder,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Sequence[Batch]],
    evaluate: Callable[..., Evaluation],
    monitor: str,
    scores: Mapping[str, Sequence[str]],
    languages: Mapping[str, tuple[str, Language]],
) -> Task:
    """The `Task` of learning to write sentences: its figures are those of tokens.

    Args:
        options: those that the run keeps.
        model, optimizer, batches, evaluate, monitor: as `Task` takes them.
        scores: the metrics of what is written, by the title of the chart that shows them together.
        languages: of the rows of some parts of the model, by the parts' names, each with what the names
            of its files begin with.
    """

    charts = {title: [f"validation/{name}" for name in names] for title, names in scores.items()}

    def tokens(run: Run) -> TokenRows:
        found: dict[str, tuple[Sequence[str], Sequence[str]]] = {}
        for part, (name, language) in languages.items():
            there = Language.load(run.existing, name)
            found |= token_rows(part, language.vocabulary, there.vocabulary)
        return found

    return Task(
        model=model, optimizer=optimizer, batches=batches, evaluate=evaluate, monitor=monitor,
        mode="min" if monitor == "loss" else "max",
        figures=token_figures, unit="tokens", options=options, tokens=tokens,
        charts={**charts, **TOKEN_CHARTS},
    )  # fmt: skip


def with_teacher_forced(
    evaluation: Evaluation, model: nn.Module, batches: Sequence[Batch], tokens: str
) -> Evaluation:
    """An evaluation by a search, with the loss and the figures of a model on the references besides.

    `tokens` names what the perplexity is per: those of different tokens cannot be compared.
    """
    signatures = dict.fromkeys(TEACHER_FORCED, "teacher-forced")
    signatures["perplexity"] += f", per token of {tokens}"
    return replace(
        evaluation,
        metrics=held_out(model, batches, token_figures) | evaluation.metrics,
        signatures=signatures | dict(evaluation.signatures),
    )
