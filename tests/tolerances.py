"""How far two computations of one number may be apart: from the number type and the length of sums.

Each addition rounds by up to half a unit u = eps / 2, and processors add in different orders: two
routes to one sum differ, and by how much is no matter of taste. After n roundings a result is off
by about sqrt(n) u of the largest partial sum, and beyond LIKELY sqrt(n) u once in ten million times
(Higham and Mary 2019, theorem 2.4: with probability 2 exp(-LIKELY^2 / 2)).

Where nothing speaks against it, a test computes in float64 (the fixture `float64`, or `.double()`)
and compares with `torch.testing.assert_close`. Its tolerance there, 1e-7, is 10^8 units: no sum of a
test is so long, and a wrong formula is still seen. Where float32 is the subject, or the code
under test computes in it whatever it is given, `assert_same_sums` and `rounding` give the tolerance.
What repeats the same operations on the same shapes is compared exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

LIKELY = 6.0


def rounding(terms: int, dtype: torch.dtype = torch.float32) -> float:
    """The relative difference of two routes to one number, each of `terms` roundings.

    Args:
        terms: the additions one after another on the longest way from the inputs to the result:
            of a matrix product its inner size, of several layers or steps their sum.
        dtype: what is computed in.
    """
    return 2 * LIKELY * math.sqrt(terms) * torch.finfo(dtype).eps / 2


def same_log_probability(expected: Any, *, terms: int) -> Any:
    """What equals a log-probability, or each of a list of them, that was computed in float32.

    It is a difference of logits and of the logarithm of a sum near 1: one near zero is off by
    as much as one of -1.

    Args:
        terms: the words of the vocabulary and those of the sentence, over which the sums went.
    """
    return pytest.approx(expected, rel=rounding(terms), abs=rounding(terms))


def assert_same_sums(
    actual: Any, expected: Any, *, terms: int, dtype: torch.dtype | None = None
) -> None:
    """The same numbers, by two routes of `terms` roundings each.

    Partial sums are as large as the largest result of the tensor: a result near zero is one where
    they cancelled, and is as far off as the others.

    Args:
        actual, expected: tensors, numbers, or tuples, lists or dicts of them.
        dtype: what was computed in, where the results are of a wider type.
    """
    if isinstance(expected, Mapping):
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            assert_same_sums(actual[name], value, terms=terms, dtype=dtype)
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same_sums(one, other, terms=terms, dtype=dtype)
    else:
        if not isinstance(expected, Tensor):
            actual, expected = (torch.tensor(x, dtype=torch.double) for x in (actual, expected))
            dtype = dtype or torch.float32
        bound = rounding(terms, dtype or expected.dtype)
        scale = expected.abs().max().item() if expected.numel() else 0.0
        torch.testing.assert_close(actual, expected, rtol=bound, atol=bound * scale)
