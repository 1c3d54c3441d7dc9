"""Tests on a GPU: on CUDA where it is, elsewhere on the pretended GPU of this folder.

    python -m pytest tests/gpu                            the tests of this folder
    UNROLL_TEST_DEVICE=cuda python -m pytest tests/gpu    on CUDA, or not at all

They run only where this folder is named: a registered device changes its whole process.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
import torch

from tests.gpu import pretended

FOLDER = Path(__file__).resolve().parent
Waits = Callable[[], AbstractContextManager[list[str]]]


def is_named(config: pytest.Config) -> bool:
    """Whether a path in this folder was named."""
    start = config.invocation_params.dir
    named = [(start / argument.split("::")[0]).resolve() for argument in config.args]
    return any(FOLDER in (path, *path.parents) for path in named)


def pytest_configure(config: pytest.Config) -> None:
    # Before the first backward pass of the process: autograd counts the devices there.
    if is_named(config) and pretended.is_wanted():
        with suppress(pretended.Unavailable):
            pretended.register()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out unless a path in this folder was named."""
    return None if is_named(config) else True


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The GPU that is tested on; without one, and without a compiler to pretend one, none is."""
    if pretended.is_wanted():
        try:
            pretended.register()
        except pretended.Unavailable as reason:
            pytest.skip(str(reason))
    found = torch.device(pretended.wanted())
    return torch.device(found.type, found.index or 0)


@pytest.fixture
def only_pretended(device: torch.device) -> None:
    """For the rules of the pretended device itself."""
    if device.type != pretended.NAME:
        pytest.skip("of the pretended GPU")


@pytest.fixture
def waits(device: torch.device) -> Waits:
    """A block in which it is noted what makes the host wait for the device."""
    return pretended.waits if device.type == pretended.NAME else _waits_for_cuda


@contextmanager
def _waits_for_cuda() -> Iterator[list[str]]:
    found: list[str] = []
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [
        f"{each.message} @ {each.filename}:{each.lineno}"
        for each in noted
        if "called a synchronizing" in str(each.message)
    ]
