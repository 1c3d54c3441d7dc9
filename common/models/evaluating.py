"""Evaluation of runs of models that write sentences, alone or as an ensemble, by any search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from common.compute.precision import choose_precision
from common.decoding.search import Search
from common.models.writer import Call, Writer
from common.training import session
from common.training.task import Evaluation


def evaluate_written(
    writer: type[Writer],
    options: type[Any],
    make_task: session.MakeTask[Any],
    folder: Path,
    split: str = "val",
    *,
    ensemble: Sequence[Path] = (),
    data: str | None = None,
    changes: Mapping[str, Any] | None = None,
    changed: Mapping[str, Any] | None = None,
    device: str = "auto",
    search: Search | None = None,
    batch_size: int = 64,
    **call: Unpack[Call],
) -> Evaluation:
    """Evaluate a run, or an ensemble of runs, as `session.evaluate` does, by a search.

    Args:
        writer: the class that reads the runs.
        options, make_task, folder, split, data, changes, changed, device: as `session.evaluate`
            takes them.
        ensemble: more runs, whose probabilities are averaged with those of the first.
        search: the strategy; that of the run by default.
        batch_size: sentences written at a time.
        call: see `common.models.writer.Call`.

    Raises:
        UserError: a run or the data cannot be used.
    """
    trained = writer.from_run(folder, *ensemble, device=device)
    own, now = trained.search.to_dict(), (search or trained.search).to_dict()
    call["precision"] = choose_precision(call.get("precision", trained.precision), trained.model)
    return session.evaluate(
        folder, options, make_task, writer.KIND, split,
        model=trained.model, data=data, changes=changes, device=device, ensemble=ensemble,
        changed={name: value for name, value in now.items() if own.get(name) != value}
        | dict(changed or {}),
        search=search, batch_size=batch_size, **call,
    )  # fmt: skip
