"""A plug-in of pytest: a GPU, pretended where there is none, is the default device of every test.

    python -m pytest -n 0 -p tests.gpu.default_device tests/common/recurrent tests/common/decoding

for tests whose subject is numbers, and which name no device. `UNROLL_TEST_DEVICE` as in `conftest.py`.
"""

from __future__ import annotations

import pytest
import torch

from tests.gpu import pretended


def pytest_configure(config: pytest.Config) -> None:
    if pretended.is_wanted():
        try:
            pretended.register()
        except pretended.Unavailable as reason:
            pytest.exit(f"skipped: {reason}", returncode=0)
    torch.set_default_device(pretended.wanted())
