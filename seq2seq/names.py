"""The names that the translator's classes and its command line share. Nothing is imported here."""

from __future__ import annotations

from typing import Literal, TypeAlias

Summary: TypeAlias = Literal["last", "max", "mean"]
"""What the context vector of a sentence is; see `SentenceEncoder`."""
