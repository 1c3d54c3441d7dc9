"""Image in, sentence out."""

from typing import TYPE_CHECKING

from common import handing_on
from common.errors import silence_interrupts

silence_interrupts(__name__)

if TYPE_CHECKING:
    from captioning.captioner import Captioner as Captioner
    from common.models.sentence import Sentence as Sentence

__all__, __getattr__ = handing_on(__name__, __file__)
