from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from common.training.loss import Loss, loss_of, mean_of_sums, no_loss

CPU = torch.device("cpu")


def mean_square(points: Tensor) -> Loss:
    """Of a mean, a count and sums whose numbers float32 holds exactly."""
    return Loss(
        points.square().mean(), torch.tensor(len(points)),
        {"absolute": points.detach().abs().sum(), "negative": (points < 0).sum()},
    )  # fmt: skip


def test_a_sum_is_the_loss_of_both_batches_as_one():
    points = torch.tensor([1.0, -3.0, 2.0, 4.0, -4.0, 0.0, 8.0, -1.0], requires_grad=True)
    whole = mean_square(points)
    parts = mean_square(points[:4]) + mean_square(points[4:6]) + mean_square(points[6:])
    assert parts.value.item() == whole.value.item() and parts.count.item() == 8
    assert {name: total.item() for name, total in parts.sums.items()} == {
        "absolute": 23, "negative": 3
    }  # fmt: skip
    ours, expected = (torch.autograd.grad(loss.value, points)[0] for loss in (parts, whole))
    torch.testing.assert_close(ours, expected)


def test_no_loss_is_neutral_and_an_empty_batch_weighs_nothing():
    loss = mean_square(torch.tensor([1.0, -3.0]))
    for added in (no_loss(loss.sums, CPU) + loss, loss + no_loss(loss.sums, CPU)):
        assert added == loss
    nothing = no_loss((), CPU) + no_loss((), CPU)
    assert nothing == Loss(torch.tensor(0.0), torch.tensor(0.0))


def test_detached_it_has_no_graph():
    loss = mean_square(torch.ones(2, requires_grad=True))
    assert loss.value.requires_grad and not loss.detach().value.requires_grad
    assert loss.detach() == loss


def test_sums_of_other_names_are_not_added():
    loss = mean_square(torch.ones(2))
    with pytest.raises(ValueError, match="same names: absolute, negative and none$"):
        loss + loss._replace(sums={})


def test_figures_are_means_by_default():
    assert mean_of_sums({"absolute": 6.0, "wrong": 0.0}, 4) == {"absolute": 1.5, "wrong": 0.0}
    assert mean_of_sums({}, 4) == {}
    assert mean_of_sums({"absolute": 0.0}, 0) == {"absolute": 0.0}


class Model(nn.Module):
    def __init__(self, returned: object) -> None:
        super().__init__()
        self.returned = returned

    def loss(self, batch: object) -> object:
        return self.returned


ONE = torch.ones(())


@pytest.mark.parametrize(
    "returned, message",
    [
        (None, r"Model.loss must return a scalar tensor, or a Loss\(value, .* not a NoneType"),
        (torch.ones(3), r"Model.loss must return one number to minimise, .* of shape \(3,\)"),
        ((ONE, ONE, {}), "not a tuple"),
        (Loss(torch.ones(3), ONE), "Model.loss: value must be a scalar tensor"),
        (Loss(ONE, 3), "count must be a scalar tensor"),  # type: ignore[arg-type]
        (Loss(ONE, ONE, {"errors": torch.ones(2)}), "errors must be a scalar tensor"),
        (Loss(ONE, ONE.to("meta")), "count must be a scalar tensor, on the device of the value"),
    ],
)
def test_what_is_no_loss_is_refused_in_one_line(returned, message):
    with pytest.raises(TypeError, match=message) as error:
        loss_of(Model(returned), None)
    assert "\n" not in str(error.value)
    assert loss_of(Model(Loss(ONE, ONE)), None) == Loss(ONE, ONE)


def test_a_tensor_is_a_mean_over_the_examples():
    assert loss_of(Model(2 * ONE), torch.zeros(5, 3)) == Loss(2 * ONE, 5 * ONE)
    assert loss_of(Model(2 * ONE), None) == Loss(2 * ONE, ONE)  # of a batch that has no rows
    half = loss_of(Model(ONE.bfloat16()), torch.zeros(257, 1))  # which bfloat16 cannot count
    assert half.count.item() == 257
