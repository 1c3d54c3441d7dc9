"""Options as dataclasses: their bounds, their marks, and their way to JSON and back."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.config.bounds import (
        Amount,
        Bounds,
        Count,
        DropoutRate,
        Fraction,
        Layers,
        Positive,
        Rate,
        Seed,
        Size,
    )
    from common.config.changes import MAY_CHANGE, MayChange
    from common.config.marks import BASIC, HIDDEN, LOCAL, POSITIONAL, File, Folder, Group, Metavar
    from common.config.quiet import Quiet

__all__, __getattr__ = handing_on(__name__, __file__)
