"""What a number among the options may be, and the one line that refuses any other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from common.config.marks import marks, settings
from common.errors import UserError


@dataclass(frozen=True)
class Bounds:
    """The least and the greatest value of an option, both allowed; beside its type, in `Annotated`."""

    low: float
    high: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and value != math.inf

    def __str__(self) -> str:
        if self.high >= _LARGEST:
            return f"at least {self.low:,}"
        return f"between {self.low:,} and {self.high:,}"


_LARGEST = 2**31 - 1  # an int that every library can hold

Positive: TypeAlias = Annotated[int, Bounds(1, _LARGEST)]
Count: TypeAlias = Annotated[int, Bounds(0, _LARGEST)]
# Of the dimensions of a network: what is beyond these is a slip, or of somebody who means harm.
Size: TypeAlias = Annotated[int, Bounds(1, 65_536)]
Layers: TypeAlias = Annotated[int, Bounds(1, 100)]
Seed: TypeAlias = Annotated[int, Bounds(0, 2**63 - 1)]
Amount: TypeAlias = Annotated[float, Bounds(0)]
Rate: TypeAlias = Annotated[float, Bounds(0, 1000)]
Fraction: TypeAlias = Annotated[float, Bounds(0, 1)]
Decay: TypeAlias = Annotated[float, Bounds(0, 0.999999)]
DropoutRate: TypeAlias = Annotated[float, Bounds(0, 0.95)]


def check_bounds(options: Any) -> None:
    """Refuse numbers of a dataclass, or of one in it, that are out of the bounds of their fields.

    Raises:
        UserError: a number is out of bounds, infinite or none at all.
    """
    for path, kind, owner in settings(options):
        name = path.rpartition(".")[2]
        check_value(name, kind, getattr(owner, name))


def check_value(name: str, kind: Any, value: Any, where: str = "") -> None:
    """Refuse one number that is out of the bounds beside its type; it is named as in the file `where`,
    or without one as on the command line."""
    for bounds in marks(kind, Bounds):
        if value is not None and value not in bounds:
            named = f"{where}: {name}" if where else f"--{name.replace('_', '-')}"
            wanted = f"at most {_LARGEST:,}" if value > bounds.high == _LARGEST else bounds
            raise UserError(f"{named} {value} is not {wanted}.")
