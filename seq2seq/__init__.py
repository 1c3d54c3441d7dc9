"""Sentence in, sentence out."""

from typing import TYPE_CHECKING

from common import handing_on
from common.errors import silence_interrupts

silence_interrupts(__name__)

if TYPE_CHECKING:
    from common.models.sentence import Sentence as Sentence
    from seq2seq.translator import Translator as Translator

__all__, __getattr__ = handing_on(__name__, __file__)
