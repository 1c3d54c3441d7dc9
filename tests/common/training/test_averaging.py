from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from common.runs.run import Run
from common.runs.weights import read_weights, save_weights
from common.training.averaging import BestFew, WeightAverage, average_weights
from tests.tolerances import assert_same_sums, rounding


def test_average_by_hand():
    weight = torch.tensor([1.0], requires_grad=True)
    average = WeightAverage([weight], decay=0.15)
    expected = 1.0
    for update, value in enumerate([3.0, -2.0, 8.0]):
        with torch.no_grad():
            weight.fill_(value)
        average.update()
        decay = min(0.15, (1 + update) / (10 + update))  # 0.1, then 0.15
        expected = decay * expected + (1 - decay) * value
    assert average.averages[0].item() == pytest.approx(expected, rel=rounding(3))
    assert weight.item() == 8.0


def test_applied_only_within_the_block():
    weights = [torch.randn(3), torch.randn(2, 2)]
    average = WeightAverage(weights, decay=0.9)
    for weight in weights:
        weight.add_(1)
    average.update()
    live, smooth = [w.clone() for w in weights], [a.clone() for a in average.averages]
    with pytest.raises(RuntimeError), average.applied():
        assert all(map(torch.equal, weights, smooth))
        raise RuntimeError
    assert all(map(torch.equal, weights, live))
    assert all(map(torch.equal, average.averages, smooth))


def test_average_resumes():
    weight = torch.randn(4)
    one = WeightAverage([weight], decay=0.99)
    for _ in range(3):
        weight.mul_(1.1)
        one.update()
    other = WeightAverage([weight], decay=0.99)
    other.load_state_dict(one.state_dict())
    weight.mul_(0.3)
    one.update()
    other.update()
    assert torch.equal(one.averages[0], other.averages[0])


def test_decay_is_checked():
    with pytest.raises(ValueError, match="decay"):
        WeightAverage([torch.zeros(1)], decay=1.0)


# -- of several models -----------------------------------------------------------------------------


def test_mean_of_weights_by_hand():
    states = [
        {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3), "m": torch.tensor([True, False])},
        {"w": torch.tensor([3.0, 2.0]), "n": torch.tensor(5), "m": torch.tensor([False, False])},
        {"w": torch.tensor([8.0, -1.0]), "n": torch.tensor(4), "m": torch.tensor([True, True])},
    ]
    mean = average_weights(iter(states))
    assert mean["w"].tolist() == [4.0, 1.0] and mean["w"].dtype == torch.float32
    assert mean["n"].item() == 4 and mean["m"].tolist() == [True, True]
    assert states[0]["w"].tolist() == [1.0, 2.0]  # sums begin with a copy
    mean["n"].zero_()
    assert states[2]["n"].item() == 4


def test_sums_are_wider_than_the_weights():
    big = [{"w": torch.tensor([value])} for value in (1e8, 1.0, 1.0, -1e8, 1.0, 1.0)]
    found = average_weights(big)["w"].item()
    assert found == pytest.approx(4 / 6, rel=rounding(1))  # in float32: 0
    half = [{"w": torch.tensor([value], dtype=torch.bfloat16)} for value in (256.0, 1.0, 1.0)]
    assert average_weights(half)["w"] == torch.tensor([86.0], dtype=torch.bfloat16)
    waves = [{"w": torch.tensor([1 + 2j])}, {"w": torch.tensor([3 - 2j])}]
    assert average_weights(waves)["w"].item() == 2


def test_one_model_is_its_own_average_and_wide_weights_stay_exact():
    model = nn.LSTM(3, 4, num_layers=2)
    mean = average_weights([model.state_dict()] * 3)
    assert all(torch.equal(mean[name], tensor) for name, tensor in model.state_dict().items())
    double = {"w": torch.tensor([0.1], dtype=torch.float64)}
    assert torch.equal(average_weights([double])["w"], double["w"])


def test_tied_weights_and_files_of_finished_runs(tmp_path: Path):
    paths = []
    for number in range(3):
        model = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "output": nn.Linear(3, 5)})
        model["output"].weight = model["embedding"].weight
        save_weights(tmp_path / f"{number}", model.state_dict())
        paths.append(tmp_path / f"{number}")
    expected = sum(read_weights(path)["output.weight"] for path in paths) / 3
    model.load_state_dict(average_weights(map(read_weights, paths)))
    assert_same_sums(model["embedding"].weight.data, expected, terms=3)
    assert model["output"].weight is model["embedding"].weight


@pytest.mark.parametrize(
    "states, message",
    [
        ([], "no weights"),
        ([{"a": torch.zeros(2)}, {"a": torch.zeros(3)}], r"a is \(2,\) in number 1 and \(3,\)"),
        ([{"a": torch.zeros(2)}, {}], "a is .* in number 1 and missing in number 2"),
        (
            [{"a": torch.zeros(2)}] * 2 + [{"a": torch.zeros(2), "b": torch.zeros(1)}],
            "b is missing",
        ),
    ],
)
def test_what_cannot_be_averaged(states, message):
    with pytest.raises(ValueError, match=message):
        average_weights(states)


# -- of the best validations -----------------------------------------------------------------------


def offer(few: BestFew, model: nn.Linear, step: int, value: float) -> bool:
    """A validation after `step` updates, when the weight is 2^step."""
    nn.init.constant_(model.weight, 2.0**step)
    taken = few.take(step, value)
    if taken:
        few.keep(model, step)
    return taken


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_few_are_kept(tmp_path: Path, on_disk: bool, sign: int):
    run = Run.create(tmp_path / "run", "toy", {}) if on_disk else None
    model = nn.Linear(1, 1, bias=False)
    few = BestFew(run, 3, "max" if sign == 1 else "min")
    values = [3.0, 1.0, math.nan, 3.0, 2.0, 0.5, 9.0]
    taken = [offer(few, model, step, sign * value) for step, value in enumerate(values)]
    assert taken == [True, True, False, True, True, False, True]
    assert few.kept == [(6, sign * 9), (0, sign * 3), (3, sign * 3)]  # the earlier of equals first
    few.tidy()
    few.load_average(model)
    assert model.weight.item() == pytest.approx((64 + 1 + 8) / 3, rel=rounding(3))
    few.load_best(model)
    assert model.weight.item() == 64


def test_files_stay_until_a_state_without_them_is_saved(tmp_path: Path):
    run = Run.create(tmp_path / "run", "toy", {})
    (run.path / "best-wishes.txt").write_text("not ours")
    model, few = nn.Linear(1, 1, bias=False), BestFew(run, 2, "max")
    for step in (1, 2):
        offer(few, model, step, step)
    saved = few.state_dict()
    saved = {"kept": list(saved["kept"])}
    for step in (3, 4):
        offer(few, model, step, step)
    killed = BestFew(run, 2, "max")
    killed.load_state_dict(saved)
    killed.load_average(model)
    assert model.weight.item() == (2 + 4) / 2
    few.tidy()
    names = sorted(path.name for path in run.path.glob("best-*"))
    assert names == ["best-00000003.safetensors", "best-00000004.safetensors", "best-wishes.txt"]
    Run.create(run.path, "toy", {}, overwrite=True)
    assert [path.name for path in run.path.glob("best-*")] == ["best-wishes.txt"]


def test_an_average_of_one_is_none():
    with pytest.raises(ValueError, match="at least 2"):
        BestFew(None, 1, "max")
