"""Experiments: one file, one experiment, one finding."""

from common.errors import silence_interrupts

silence_interrupts(__name__)
