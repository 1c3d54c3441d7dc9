"""Devices, and the precision of matrix products."""

from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["fp32", "bf16", "auto"]
"""Arithmetic of matrix products: float32, bfloat16, or whichever is faster; see `precision.py`."""
