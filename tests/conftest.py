"""Fixtures of all tests, and which of them are numerical."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).resolve().parent

# What is computed with floats: `pytest -m numerical` runs these under other instruction sets.
NUMERICAL = (
    "common/recurrent",
    "common/decoding",
    "common/training",
    "common/test_*.py",
    "captioning/features",
    "captioning/test_backbone.py",
    "captioning/test_captioner.py",
    "captioning/test_encoder.py",
    "captioning/test_networks.py",
    "captioning/test_small_cnn.py",
    "seq2seq/test_encoder.py",
    "seq2seq/test_translator.py",
    "experiments/test_benchmarks.py",
)
_PATHS = {path for pattern in NUMERICAL for path in TESTS.glob(pattern)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not _PATHS.isdisjoint([item.path, *item.path.parents]):
            item.add_marker(pytest.mark.numerical)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """Also where the tests run in the background, as a shell's job that ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is cached where no folder is named is not cached for the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def float64() -> Iterator[None]:
    """Whatever the test creates without a type is of float64; see `tolerances.py`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository; where it is absent, its tests are skipped."""
    folder = TESTS.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the measuring data in {folder.parent.name}/, which is not here")
    return folder
