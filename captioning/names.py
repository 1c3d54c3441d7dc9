"""The names that the captioner's classes and its command line share. Nothing is imported here."""

from __future__ import annotations

from typing import Literal, TypeAlias

Fit: TypeAlias = Literal["squash", "crop", "pad"]
"""How a picture becomes a square; see `ImageTransform`."""
