"""Tests on a GPU: on CUDA where it is, elsewhere on the pretended GPU of this folder.

    python -m pytest tests/gpu                            the tests of this folder
    UNROLL_TEST_DEVICE=cuda python -m pytest tests/gpu    on CUDA, or not at all

They run only where this folder is named: a registered device changes its whole process.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

from tests.gpu import pretended

FOLDER = Path(__file__).resolve().parent
Waits = Callable[[], AbstractContextManager[list[str]]]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out unless a path in this folder was named."""
    start = config.invocation_params.dir
    named = [(start / argument.split("::")[0]).resolve() for argument in config.args]
    return None if any(FOLDER in (path, *path.parents) for path in named) else True


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The GPU that is tested on; without one, and without a compiler to pretend one, none is."""
    wanted = os.environ.get("UNROLL_TEST_DEVICE") or (
        "cuda" if torch.cuda.is_available() else "gpu"
    )
    if wanted != pretended.NAME:
        return torch.device(wanted, 0) if ":" not in wanted else torch.device(wanted)
    try:
        pretended.register()
    except pretended.Unavailable as reason:
        pytest.skip(str(reason))
    return torch.device(pretended.NAME, 0)


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
        if "synchronizing" in str(each.message)
    ]
