"""A plug-in of pytest: a GPU, pretended where there is none, is the default device of every test.

    python -m pytest -n 0 -p tests.gpu.default_device tests/common/recurrent tests/common/decoding

for tests whose subject is numbers, and which name no device. `UNROLL_TEST_DEVICE` as in `conftest.py`.
"""

from __future__ import annotations

import pytest
import torch

from tests.gpu import pretended

GENERATOR = torch.Generator


def pytest_configure(config: pytest.Config) -> None:
    if pretended.is_wanted():
        try:
            pretended.register()
        except pretended.Unavailable as reason:
            pytest.exit(f"skipped: {reason}", returncode=0)
    # cuDNN rounds float32 to TensorFloat-32 where PyTorch's default stands.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_default_device(pretended.wanted())
    torch.Generator = Generator  # type: ignore[misc, assignment]


class _Kind(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, GENERATOR)


class Generator(metaclass=_Kind):
    """Where no device is named, a generator of the default device: PyTorch makes one of the host, and
    refuses it for tensors of a GPU."""

    def __new__(cls, device: torch.device | str | None = None) -> torch.Generator:  # type: ignore[misc]
        return GENERATOR(device or torch.get_default_device())
