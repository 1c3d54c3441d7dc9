"""A compiled training learns as one that is not, and goes on where compiling fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from common.training import compilation
from common.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _anew():
    torch._dynamo.reset()


def made_by(monkeypatch, backend: str | Callable) -> None:
    monkeypatch.setattr(compilation, "BACKEND", backend)


def weights(trainer: Trainer) -> dict[str, Tensor]:
    trainer.fit()
    assert trainer.average is not None
    averages = {f"average {n}": each for n, each in enumerate(trainer.average.averages)}
    return trainer.model.state_dict() | averages


def same(one: dict[str, Tensor], other: dict[str, Tensor], **tolerance: float) -> bool:
    assert one.keys() == other.keys()
    return all(torch.allclose(value, other[name], **tolerance) for name, value in one.items())


@pytest.mark.compiler
@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("options", [{}, {"accumulate": 2}], ids=["plain", "accumulated"])
def test_a_compiled_training_has_the_weights_of_one_that_is_not(monkeypatch, toy, series, options):
    made_by(monkeypatch, "aot_eager")
    task = {"make": toy.Forecaster, "batches": toy.series} if series else {}
    plain, compiled = (
        toy.trainer(random=False, compile=each, max_epochs=2, **task, **options)
        for each in (False, True)
    )
    assert same(weights(plain), weights(compiled), rtol=1e-3, atol=1e-5)
    assert compiled.update.compilation.works


@pytest.mark.compiler
def test_it_is_resumed_exactly(monkeypatch, toy, tmp_path):
    made_by(monkeypatch, "aot_eager")
    whole = weights(toy.trainer(tmp_path / "whole", compile=True))
    with pytest.raises(toy.Killed):
        toy.trainer(tmp_path / "run", compile=True, killed_after=10).fit()
    torch._dynamo.reset()
    resumed = toy.trainer(tmp_path / "run", compile=True)
    assert same(whole, weights(resumed), rtol=0, atol=0)
    assert resumed.update.compilation.works


def no_compiler(graph, inputs):
    raise RuntimeError("no C++ compiler\nin any of 12 places")


def fails_backward(graph, inputs):
    """Works forward; its backward fails after it has added to some gradients."""

    def refuse(gradient: Tensor) -> Tensor:
        raise RuntimeError("an operation without a compiled gradient")

    def call(*arguments):
        outputs = graph(*arguments)
        for each in outputs:
            if each.requires_grad:
                each.register_hook(refuse)
        return outputs

    return call


@pytest.mark.compiler
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("backend", "reason"),
    [(no_compiler, "no C++ compiler"), (fails_backward, "without a compiled gradient")],
)
def test_where_compiling_fails_training_goes_on_without(
    monkeypatch, toy, capsys, backend, reason, accumulate
):
    """With the same random numbers: as if nothing had been compiled, bit for bit."""
    made_by(monkeypatch, backend)
    expected = weights(toy.trainer(accumulate=accumulate))
    capsys.readouterr()
    trainer = toy.trainer(accumulate=accumulate, compile=True)
    assert same(expected, weights(trainer), rtol=0, atol=0)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "without --compile" in line and reason in line and "12 places" not in line


@pytest.mark.compiler
def test_an_error_of_the_model_is_its_own(monkeypatch, toy, capsys):
    made_by(monkeypatch, "eager")
    trainer = toy.trainer(compile=True, batches=lambda epoch: [torch.full((2, 4), 99)])
    with pytest.raises(IndexError):
        trainer.fit()
    assert "--compile" not in capsys.readouterr().err


@pytest.mark.compiler
def test_what_validates_is_not_compiled(monkeypatch, toy, tmp_path: Path):
    made_by(monkeypatch, "eager")
    compiled = []

    def validate() -> dict[str, float]:
        compiled.append(torch.compiler.is_compiling())
        return {"accuracy": 0.0}

    trainer = toy.trainer(compile=True, validate=validate, max_epochs=1)
    names = set(trainer.model.state_dict())
    trainer.fit()
    assert compiled and not any(compiled)
    assert names == set(toy.Model().state_dict()) and type(trainer.model) is type(toy.Model())
