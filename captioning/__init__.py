"""Image in, sentence out."""

from typing import TYPE_CHECKING

from common.lazy import handing_on

if TYPE_CHECKING:
    from captioning.captioner import Caption, Captioner

__all__, __getattr__ = handing_on(__name__, __file__)
