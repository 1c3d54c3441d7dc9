"""A plug-in of pytest: a GPU, pretended where there is none, is the default device of every test.

    python -m pytest -n 0 -p tests.gpu.default_device tests/common/recurrent tests/common/decoding

for tests whose subject is numbers, and which name no device. `UNROLL_TEST_DEVICE` as in `conftest.py`.
"""

from __future__ import annotations

import os

import pytest
import torch

from tests.gpu import pretended


def pytest_configure(config: pytest.Config) -> None:
    name = os.environ.get("UNROLL_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "gpu")
    if name == pretended.NAME:
        try:
            pretended.register()
        except pretended.Unavailable as reason:
            pytest.exit(str(reason), returncode=0)
    torch.set_default_device(name)
