from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from common.config.changes import MAY_CHANGE, MayChange, hyperparameters
from common.config.marks import LOCAL, Folder
from common.config.plain import dotted, with_absolute_paths


@dataclass(frozen=True)
class Inner:
    size: int = 3
    device: Annotated[str, MAY_CHANGE] = "auto"
    epochs: Annotated[int, MayChange(lambda o: o.size == 3)] = 5


@dataclass(frozen=True)
class Outer:
    run_dir: Annotated[Folder, MayChange(text="")] = Path("runs")
    words: Folder | None = None
    weights: str = "imagenet"
    cache_dir: Annotated[Folder | None, LOCAL] = None
    inner: Inner = Inner()


def test_hyperparameters_are_what_decides_what_is_learnt(tmp_path):
    assert hyperparameters(Outer()) == {"words", "weights", "inner.size", "inner.epochs"}
    paths = Outer(words=Path("words.txt"), weights=str(tmp_path / "net.pt"))
    assert hyperparameters(with_absolute_paths(paths)) == {"inner.size", "inner.epochs"}


@pytest.mark.parametrize("pipeline", ["captioning", "seq2seq"])
def test_no_path_and_nothing_of_the_machine_is_a_hyperparameter_of_a_pipeline(pipeline, tmp_path):
    from dataclasses import asdict
    from importlib import import_module

    options = import_module(f"{pipeline}.options").TrainOptions(
        data=str(tmp_path), run_dir=tmp_path / "run", cache_dir=tmp_path
    )
    found = hyperparameters(options)
    values = dict(dotted(asdict(options)))
    assert not any(str(tmp_path) in str(values[name]) for name in found)
    assert not found & {"resume", "overwrite", "training.device", "training.threads", "cache_dir"}
    chosen = {"training.learning_rate", "training.epochs", "decoder.cell", "search.beam_size"}
    assert chosen | {"training.seed", "text.tokenizer", "monitor"} <= found
