"""What is asked of the training is what is built, and what does not go together is refused."""

from __future__ import annotations

import pytest
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from common.errors import UserError
from common.training.options import TrainingOptions
from common.training.schedules import constant, cosine, inverse_sqrt


def cpu(**options) -> TrainingOptions:
    return TrainingOptions(**({"device": "cpu", "precision": "fp32"} | options))


def make_trainer(options: TrainingOptions, **arguments):
    model = nn.Linear(2, 2)
    return options.make_trainer(
        model, options.make_optimizer(model), lambda epoch: [None] * 10, **arguments
    )


VALIDATED = {"validate": dict, "monitor": "error", "mode": "min"}


def test_what_is_asked_of_the_training_reaches_the_trainer():
    options = cpu(
        average_decay=0.9, clip_norm=2.0, accumulate=2, precision="bf16", epochs=4, max_minutes=3
    )
    trainer = make_trainer(options, **VALIDATED, unit="points")
    assert trainer.average is not None and trainer.average.decay == 0.9
    update, limits = trainer.update, trainer.limits
    assert (update.clip_norm, update.several, update.precision) == (2.0, True, "bf16")
    assert (limits.epochs, limits.minutes, limits.patience) == (4, 3, 5)
    assert trainer.meter.unit == "points"
    plain = make_trainer(cpu(patience=0, clip_norm=0))
    assert plain.average is None and plain.limits.patience is None
    assert plain.update.clip_norm is None and not plain.update.several


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("constant", constant(7)),
        ("cosine", cosine(4 * 5, 7)),  # 4 epochs of 10 batches, two an update
        ("inverse_sqrt", inverse_sqrt(7)),
    ],
)
def test_the_learning_rate_follows_the_schedule(name, factor):
    options = cpu(schedule=name, warmup_steps=7, epochs=4, accumulate=2, learning_rate=0.3)
    trainer = make_trainer(options, **VALIDATED)
    rates = []
    for _ in range(20):
        rates.append([group["lr"] for group in trainer.optimizer.param_groups])
        trainer.optimizer.step()
        trainer.scheduler.step()
    assert rates == [[0.3 * factor(step)] * 2 for step in range(20)]


def test_a_plateau_halves_the_learning_rate_down_to_a_hundredth():
    options = cpu(schedule="plateau", learning_rate=0.3)
    plateau = make_trainer(options, **VALIDATED).plateau
    assert isinstance(plateau, ReduceLROnPlateau) and plateau.mode == "min"
    rates = []
    for error in (3, 2, 2, 2, 1.99, *[2] * 20):
        plateau.step(error)
        rates.append(plateau.get_last_lr()[0])
    assert rates[:9] == [0.3, 0.3, 0.3, 0.15, 0.15, 0.15, 0.075, 0.075, 0.0375]
    assert rates[-1] == 0.003
    assert make_trainer(options, validate=dict, monitor="bleu").plateau.mode == "max"


def test_a_plateau_has_no_warm_up():
    options = cpu(schedule="plateau", warmup_steps=7)
    for refused in (options.check, lambda: make_trainer(options, **VALIDATED)):
        with pytest.raises(UserError, match="--schedule plateau has no warm-up"):
            refused()
    cpu(warmup_steps=7).check()


def test_training_is_for_a_single_process(monkeypatch):
    """Several, as torchrun starts them, would be independent trainings in one run folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="single process.*torchrun"):
        cpu().begin()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert cpu().begin().type == "cpu"
