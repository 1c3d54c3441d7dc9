"""Options as dataclasses: their bounds, their marks, and their way to JSON and back."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.config.bounds import (
        Amount as Amount,
        Bounds as Bounds,
        Count as Count,
        DropoutRate as DropoutRate,
        Fraction as Fraction,
        Layers as Layers,
        Positive as Positive,
        Rate as Rate,
        Seed as Seed,
        Size as Size,
    )
    from common.config.changes import (
        MAY_CHANGE as MAY_CHANGE,
        MayChange as MayChange,
    )
    from common.config.marks import (
        BASIC as BASIC,
        HIDDEN as HIDDEN,
        LOCAL as LOCAL,
        POSITIONAL as POSITIONAL,
        File as File,
        Folder as Folder,
        Group as Group,
        Metavar as Metavar,
    )
    from common.config.quiet import Quiet as Quiet

__all__, __getattr__ = handing_on(__name__, __file__)
