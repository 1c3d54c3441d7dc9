from __future__ import annotations

import copy
import json
import math
import signal

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from common.errors import UserError
from common.models.tokens import token_loss
from common.runs.run import Run
from common.training.loss import Loss
from common.training.schedules import constant
from common.training.tracking import Tracker
from common.training.trainer import Trainer
from tests.tolerances import assert_same_sums, rounding

TASK = [(torch.randn(24, 6), torch.randint(4, (24,))) for _ in range(3)]
# Roundings of an update of the classifier: its layers and its batch, there and back.
TERMS = 2 * (6 + 16 + 4 + 24)


class Classifier(nn.Module):
    """A model without any randomness."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))

    def loss(self, batch: tuple[Tensor, Tensor]) -> Loss:
        return token_loss(
            self.layers(batch[0]), batch[1], pad=3
        )  # so that batches weigh differently


def parameters(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def sgd(model: nn.Module, rate: float = 0.5) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=rate)


def test_one_update_is_that_of_a_loop_by_hand():
    model = Classifier()
    twin = copy.deepcopy(model)
    Trainer(model, sgd(model), lambda epoch: TASK, max_epochs=2).fit()
    optimizer = sgd(twin)
    for batch in TASK * 2:
        optimizer.zero_grad()
        twin.loss(batch).value.backward()
        optimizer.step()
    assert all(map(torch.equal, parameters(model), parameters(twin)))


def test_accumulation_equals_a_big_batch():
    small, large = Classifier(), Classifier()
    large.load_state_dict(small.state_dict())
    quarters = [(x[i::4], y[i::4]) for x, y in TASK for i in range(4)]
    Trainer(small, sgd(small), lambda epoch: quarters, accumulate=4, max_epochs=3).fit()
    Trainer(large, sgd(large), lambda epoch: TASK, max_epochs=3).fit()
    assert_same_sums(parameters(small), parameters(large), terms=9 * TERMS)


def test_a_last_group_that_is_smaller_counts_by_its_tokens():
    small, large = Classifier(), Classifier()
    large.load_state_dict(small.state_dict())
    joined = [tuple(torch.cat(pair) for pair in zip(*TASK[:2], strict=True)), TASK[2]]
    Trainer(small, sgd(small), lambda epoch: TASK, accumulate=2, max_epochs=1).fit()
    Trainer(large, sgd(large), lambda epoch: joined, max_epochs=1).fit()
    assert_same_sums(parameters(small), parameters(large), terms=2 * TERMS)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_clipping_bounds_the_whole_update(accumulate: int):
    model = Classifier()
    before = parameters(model)
    trainer = Trainer(
        model, sgd(model, 1.0), lambda epoch: TASK, max_steps=1, clip_norm=0.01,
        accumulate=accumulate,
    )  # fmt: skip
    trainer.fit()
    moved = [after - old for after, old in zip(parameters(model), before, strict=True)]
    # What is subtracted is rounded as weights are, which are far larger than the update.
    error = rounding(1) * nn.utils.get_total_norm(before).item()
    assert nn.utils.get_total_norm(moved).item() == pytest.approx(0.01, abs=error)


def test_reported_gradient_norm_is_that_before_clipping(tmp_path):
    model = Classifier()
    model.loss(TASK[0]).value.backward()
    norm = nn.utils.get_total_norm([p.grad for p in model.parameters()]).item()
    with Tracker(tmp_path, tensorboard=False, progress=False) as tracker:
        Trainer(
            model, sgd(model), lambda epoch: TASK[:1], max_steps=1, clip_norm=norm / 7,
            tracker=tracker,
        ).fit()  # fmt: skip
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert line["train/gradient_norm"] == pytest.approx(norm, rel=rounding(TERMS))


class Scripted:
    """Gives one score after another, and remembers the weights that each was for."""

    def __init__(self, model: nn.Module, scores: list[float]) -> None:
        self.model, self.scores, self.seen = model, scores, []

    def __call__(self) -> dict[str, float]:
        assert not self.model.training and not torch.is_grad_enabled()
        self.seen.append(parameters(self.model))
        return {"score": self.scores[len(self.seen) - 1]}


@pytest.mark.parametrize("mode, sign", [("max", 1), ("min", -1)])
@pytest.mark.parametrize("on_disk", [False, True])
def test_early_stopping_keeps_the_best_weights(tmp_path, mode, sign, on_disk):
    model = Classifier()
    validate = Scripted(model, [sign * score for score in (1, 3, 2, math.nan, 3, 9)])
    run = Run.create(tmp_path, "classifier", {}) if on_disk else None
    progress = Trainer(
        model, sgd(model), lambda epoch: TASK, validate=validate, monitor="score", mode=mode,
        patience=3, max_epochs=50, run=run,
    ).fit()  # fmt: skip
    assert len(validate.seen) == 5
    assert (progress.best_step, progress.epoch) == (6, 5)
    assert progress.finished == "no better score in 3 validations"
    assert all(map(torch.equal, parameters(model), validate.seen[1]))
    if run is not None:
        other = Classifier()
        run.load_model(other)
        assert all(map(torch.equal, parameters(other), validate.seen[1]))


def test_a_metric_that_is_never_a_number_keeps_the_last_weights(tmp_path):
    model = Classifier()
    validate = Scripted(model, [math.nan] * 2)
    run = Run.create(tmp_path, "classifier", {})
    Trainer(
        model, sgd(model), lambda epoch: TASK, validate=validate, monitor="score", max_epochs=2,
        run=run,
    ).fit()  # fmt: skip
    assert run.existing("model.safetensors")
    assert all(map(torch.equal, parameters(model), validate.seen[1]))


def test_a_metric_that_does_not_move_leaves_the_choice_to_the_loss(capsys):
    """As BLEU of outputs of two words, which is 0 whatever they are."""
    losses = iter([3.0, 2.0, 1.0, 0.5, 0.7, 0.6])
    model = Classifier()
    optimizer = sgd(model)
    plateau = ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=0, threshold=0.0)
    with Tracker() as tracker:
        progress = Trainer(
            model, optimizer, lambda epoch: TASK[:1],
            validate=lambda: {"bleu": 0.0, "loss": next(losses)}, monitor="bleu",
            patience=2, scheduler=plateau, tracker=tracker,
        ).fit()  # fmt: skip
    assert (progress.step, progress.best_step) == (6, 4)
    assert optimizer.param_groups[0]["lr"] == 0.5 / 4, "lowered where the loss grew, and only there"
    said = capsys.readouterr().err
    assert said.count("bleu was 0 in each of the last 4 validations") == 1


def test_patience_waits_for_some_updates_where_an_epoch_is_one():
    model = Classifier()
    progress = Trainer(
        model, sgd(model), lambda epoch: TASK[:1], validate=lambda: {"score": 1.0}, monitor="score",
        patience=2, patience_steps=20,
    ).fit()  # fmt: skip
    assert (progress.best_step, progress.step) == (1, 21)
    assert progress.finished == "no better score in 20 validations"


def test_a_plateau_lowers_the_learning_rate():
    model = Classifier()
    optimizer = sgd(model, 0.4)
    rates = []
    scores = iter([1, 2, 1, 1, 3, 0, 0])

    def validate() -> dict[str, float]:
        rates.append(optimizer.param_groups[0]["lr"])
        return {"score": next(scores)}

    plateau = ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=1)
    Trainer(
        model, optimizer, lambda epoch: TASK, validate=validate, monitor="score", max_epochs=7,
        scheduler=plateau,
    ).fit()  # fmt: skip
    assert rates == [0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2]
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_each_group_of_parameters_keeps_its_own_rate(tmp_path):
    model = Classifier()
    first, last = model.layers[0], model.layers[2]
    optimizer = torch.optim.SGD(
        [
            {"params": [first.weight], "lr": 0.1},
            {"params": [first.bias], "lr": 0.1},
            {"params": last.parameters(), "lr": 0.01},
        ]
    )
    with Tracker(tmp_path, tensorboard=False, progress=False) as tracker:
        Trainer(
            model, optimizer, lambda epoch: TASK, max_steps=2, tracker=tracker,
            scheduler=LambdaLR(optimizer, constant(warmup_steps=4)),
        ).fit()  # fmt: skip
    # Of the next update, the third of the warm-up.
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([0.075, 0.075, 0.0075])
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    rates = {name: rate for name, rate in line.items() if "learning_rate" in name}
    assert rates == pytest.approx({"train/learning_rate": 0.075, "train/learning_rate_1": 0.0075})


def test_averaged_weights_are_what_is_validated_and_saved(tmp_path):
    model = Classifier()
    average, history = parameters(model), []
    validate = Scripted(model, [1.0, 2.0, 3.0])

    class Recording(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            history.append(parameters(model))

    run = Run.create(tmp_path, "classifier", {})
    optimizer = Recording(model.parameters(), lr=0.5)
    Trainer(
        model, optimizer, lambda epoch: TASK, validate=validate, monitor="score", max_epochs=3,
        average_decay=0.3, run=run,
    ).fit()  # fmt: skip
    for update, weights in enumerate(history):
        decay = min(0.3, (1 + update) / (10 + update))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
    assert_same_sums(average, validate.seen[-1], terms=3 * len(history))
    other = Classifier()
    run.load_model(other)
    assert all(map(torch.equal, parameters(other), validate.seen[-1]))
    last = run.load_training_state()["model"]
    assert all(map(torch.equal, last.values(), history[-1]))


def test_bfloat16_learns_on_the_cpu(toy):
    torch.manual_seed(0)
    model = toy.Model()
    seen = []
    model.output.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    trainer = Trainer(model, optimizer, toy.batches, precision="bf16", max_epochs=15)
    trainer.fit()
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in model.parameters())
    loss = model.eval().loss(toy.batches(0)[0])
    assert loss.value.item() < 1.5 < math.log(12)


@pytest.mark.parametrize(
    "limits, steps, epochs",
    [
        ({"max_epochs": 2}, 6, 2),
        ({"max_steps": 4}, 4, 1),
        ({"max_epochs": 2, "max_steps": 6}, 6, 2),
    ],
)
def test_limits(limits, steps, epochs):
    model = Classifier()
    validate = Scripted(model, [1.0] * 9)
    progress = Trainer(
        model, sgd(model), lambda epoch: TASK, validate=validate, **limits
    ).fit()  # fmt: skip
    assert (progress.step, progress.epoch) == (steps, epochs)
    assert len(validate.seen) == 2  # also where a limit falls into the middle of an epoch


def test_time_is_a_limit():
    model = Classifier()
    progress = Trainer(model, sgd(model), lambda epoch: TASK, max_minutes=0.002).fit()
    assert progress.finished == "0.002 minutes" and 0.12 <= progress.seconds < 5


def test_the_mode_is_set_when_training_begins_and_after_each_validation(tmp_path):
    """Not at each update: that would walk through the whole model."""

    class Watched(Classifier):
        def train(self, mode: bool = True) -> nn.Module:
            modes.append(mode)
            return super().train(mode)

        def loss(self, batch: tuple[Tensor, Tensor]) -> Loss:
            assert self.training
            return super().loss(batch)

    modes: list[bool] = []
    for epochs in (2, 3):  # from the beginning, and resumed
        run = Run.create(tmp_path, "classifier", {}, resume=True)
        model = Watched().eval()
        modes.clear()
        validate = Scripted(model, [1.0] * 2)
        Trainer(
            model, sgd(model), lambda epoch: TASK, validate=validate, max_epochs=epochs, run=run
        ).fit()
        assert modes == [True] + [False, True] * len(validate.seen)
        assert len(validate.seen) == (2 if epochs == 2 else 1)


def test_validation_every_few_steps():
    model = Classifier()
    validate = Scripted(model, [1.0] * 9)
    Trainer(
        model, sgd(model), lambda epoch: TASK, validate=validate, validate_every=4, max_steps=9
    ).fit()
    assert len(validate.seen) == 3  # after steps 4, 8, and the last


@pytest.mark.parametrize("log_every", [1, 4, 100])
@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_stops_with_a_message(tmp_path, log_every, poison):
    model = Classifier()
    run = Run.create(tmp_path, "classifier", {})
    updates = 0
    whole_loss = model.loss

    def loss(batch):
        nonlocal updates
        updates += 1
        value = whole_loss(batch)
        if updates == 6:
            factor = math.nan if poison == "loss" else 1.0
            # The derivative of a root at zero is infinite; its value is not.
            broken = value.value * factor + (model.layers[0].weight * 0).abs().sum().sqrt()
            return value._replace(value=broken)
        return value

    model.loss = loss
    trainer = Trainer(
        model, sgd(model), lambda epoch: TASK, max_epochs=5, run=run, log_every=log_every,
        checkpoint_steps=1 if log_every == 4 else None,
    )  # fmt: skip
    with pytest.raises(UserError, match=f"the {poison} became .* at step 6") as error:
        trainer.fit()
    assert "\n" not in str(error.value) and "learning rate" in str(error.value)
    state = run.load_training_state()
    assert state["progress"]["step"] == (5 if log_every == 4 else 3)
    assert all(tensor.isfinite().all() for tensor in state["model"].values())
    other = Classifier()
    run.load_model(other)
    assert all(tensor.isfinite().all() for tensor in parameters(other))


def test_statistics_are_fetched_only_when_they_are_reported(toy, monkeypatch):
    fetched = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        original = getattr(Tensor, name)

        def record(self, *args, original=original):
            fetched.append(trainer.progress.step)
            return original(self, *args)

        monkeypatch.setattr(Tensor, name, record)
    model = Classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(
        model, optimizer, lambda epoch: TASK * 7, max_steps=20, log_every=10, clip_norm=1
    )
    trainer.fit()
    assert set(fetched) == {10, 20}


def test_no_data_is_a_user_error():
    model = Classifier()
    with pytest.raises(UserError, match="nothing to train on"):
        Trainer(model, sgd(model), lambda epoch: [], max_epochs=1).fit()


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "max_epochs"),
        ({"max_epochs": 1, "monitor": "x"}, "validate"),
        ({"patience": 1}, "monitor"),
        ({"max_epochs": 1, "precision": "fp8"}, "precision"),
        ({"max_epochs": 1, "accumulate": 0}, "at least 1"),
        ({"max_epochs": 1, "mode": "best"}, "mode"),
    ],
)
def test_options_that_make_no_sense(options, message):
    model = Classifier()
    with pytest.raises(ValueError, match=message):
        Trainer(model, sgd(model), lambda epoch: TASK, **options)


@pytest.mark.parametrize("options", [{}, {"validate": dict, "monitor": "x", "mode": "min"}])
def test_a_plateau_is_of_the_monitored_metric(options):
    model = Classifier()
    optimizer = sgd(model)
    plateau = ReduceLROnPlateau(optimizer, "max")
    with pytest.raises(ValueError, match="a metric to monitor, and its mode"):
        Trainer(
            model, optimizer, lambda epoch: TASK, max_epochs=1, scheduler=plateau, **options
        )  # fmt: skip


@pytest.mark.parametrize("returned", [(), None])
def test_a_model_that_returns_no_loss_is_refused_in_one_line(returned):
    model = Classifier()
    model.loss = lambda batch: returned
    trainer = Trainer(model, sgd(model), lambda epoch: TASK, max_epochs=1)
    with pytest.raises(
        TypeError, match=r"^Classifier.loss must return a scalar tensor, or a Loss\(value, .*$"
    ):
        trainer.fit()


@pytest.mark.parametrize("returned", [torch.ones(()), Loss(torch.ones(()), torch.ones(()))])
def test_a_loss_that_depends_on_no_weight_is_refused_in_one_line(returned):
    model = Classifier()
    model.loss = lambda batch: returned
    trainer = Trainer(model, sgd(model), lambda epoch: TASK, max_epochs=1)
    with pytest.raises(TypeError, match="^Classifier.loss depends on no weight .*$"):
        trainer.fit()


def test_sums_of_other_names_than_before_are_refused():
    model = Classifier()
    whole_loss = model.loss
    names = iter(("nll", "nll", "errors"))
    model.loss = lambda batch: whole_loss(batch)._replace(sums={next(names): torch.zeros(())})
    trainer = Trainer(model, sgd(model), lambda epoch: TASK, max_epochs=1)
    with pytest.raises(ValueError, match="same names: nll and errors"):
        trainer.fit()
    assert trainer.progress.step == 2


def test_a_monitored_metric_must_be_reported():
    model = Classifier()
    trainer = Trainer(
        model, sgd(model), lambda epoch: TASK, validate=lambda: {"bleu": 1.0}, monitor="cider",
        max_epochs=1,
    )  # fmt: skip
    with pytest.raises(ValueError, match="gave bleu, not cider"):
        trainer.fit()


def test_signals_are_given_back():
    model = Classifier()
    before = signal.getsignal(signal.SIGINT)
    Trainer(model, sgd(model), lambda epoch: TASK, max_steps=1).fit()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("limits", "accumulate", "expected"),
    [
        ({"max_epochs": 2}, 1, [(step, 6) for step in range(1, 7)]),
        ({"max_epochs": 2}, 2, [(step, 4) for step in range(1, 5)]),  # two updates an epoch
        ({"max_epochs": 2, "max_steps": 4}, 1, [(step, 4) for step in range(1, 5)]),
    ],
)
def test_progress_counts_the_updates_and_knows_how_many_there_will_be(limits, accumulate, expected):
    model, seen = Classifier(), []
    trainer = Trainer(
        model, sgd(model), lambda epoch: TASK, accumulate=accumulate, **limits,
        on_progress=lambda updates, at_most: seen.append((updates, at_most)),
    )  # fmt: skip
    trainer.fit()
    assert seen == expected


def test_progress_without_a_limit_that_counts_updates_has_no_end():
    model, seen = Classifier(), []
    Trainer(
        model, sgd(model), lambda epoch: TASK, max_minutes=0.0,
        on_progress=lambda updates, at_most: seen.append(at_most),
    ).fit()  # fmt: skip
    assert set(seen) <= {None}
