"""The largest model with at most so many weights."""

from __future__ import annotations

import pytest
from torch import nn

from common.errors import UserError
from common.models.sizes import largest_size, number_of_weights


def test_one_more_would_be_too_many():
    assert number_of_weights(nn.Linear(9, 4)) == 40
    for weights in (10, 19, 20, 12_345, 327_679):
        size = largest_size(lambda size: nn.Linear(9, size), weights)
        assert size == weights // 10


def test_too_few_weights():
    with pytest.raises(UserError, match="9 weights are too few"):
        largest_size(lambda size: nn.Linear(9, size), 9)
