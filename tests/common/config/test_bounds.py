from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field

import pytest

from common.config.bounds import Amount, Fraction, Layers, Positive, check_bounds
from common.config.plain import from_dict
from common.errors import UserError


@dataclass
class Inner:
    share: Fraction = 0.5


@dataclass
class Outer:
    size: Positive = 1
    most: Positive | None = None
    layers: Layers = 1
    rate: Amount = 0.0
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    "options",
    [Outer(), Outer(7, 3, 100, 1e30), Outer(inner=Inner(0)), Outer(inner=Inner(1))],
    ids=str,
)
def test_within_bounds(options):
    check_bounds(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Outer(size=0), "--size 0 is not at least 1"),
        (Outer(size=2**31), "--size 2147483648 is not at most 2,147,483,647"),
        (Outer(layers=10**6), "--layers 1000000 is not between 1 and 100"),
        (Outer(most=-1), "--most -1 is not at least 1"),
        (Outer(rate=math.nan), "--rate nan is not at least 0"),
        (Outer(rate=math.inf), "--rate inf is not at least 0"),
        (Outer(inner=Inner(1.5)), "--share 1.5 is not between 0 and 1"),
    ],
    ids=str,
)
def test_out_of_bounds(options, message):
    with pytest.raises(UserError, match=rf"^{message}\.$"):
        check_bounds(options)
    with pytest.raises(UserError, match="^config.json: "):
        from_dict(Outer, asdict(options), "config.json")
