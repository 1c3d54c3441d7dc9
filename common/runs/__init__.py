"""The run folder: what a result needs, written and read."""

from typing import TYPE_CHECKING

from common import handing_on

if TYPE_CHECKING:
    from common.runs.kept import Kept as Kept
    from common.runs.run import Run as Run

__all__, __getattr__ = handing_on(__name__, __file__)
