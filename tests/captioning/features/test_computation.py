"""Computing features: resumed after a kill, by one process at a time, as far as the disk goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from captioning.backbone import Backbone
from captioning.features import FeatureCache
from captioning.transform import ImageTransform
from common.errors import UserError
from tests.captioning.features.caches import (
    COUNT,
    QUIET,
    TRANSFORM,
    assert_same,
    computed,
    record,
)

ROOT = Path(__file__).parents[3]


class Interrupted(Exception):
    pass


def interrupt_after(backbone: Backbone, batches: int) -> Backbone:
    """The network fails in the batch after so many; its weights and its name are the same."""

    class Failing(type(backbone)):  # type: ignore[misc]
        left = batches

        def inference_copy(self, dtype: torch.dtype = torch.float32) -> Backbone:
            return self

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if not Failing.left:
                raise Interrupted
            Failing.left -= 1
            return super().forward(images)

    backbone.__class__ = Failing
    return backbone


@pytest.mark.parametrize("batches", [0, 1, 3, 5])
def test_a_build_goes_on_after_the_last_complete_chunk(
    tmp_path, backbone, weights, paths, batches: int
) -> None:
    failing = interrupt_after(Backbone("squeezenet1_1", weights=weights), batches)
    expected = computed(backbone, paths)
    with pytest.raises(Interrupted):
        FeatureCache.build(tmp_path / "cache", paths, failing, TRANSFORM, **QUIET)
    (folder,) = (tmp_path / "cache").iterdir()
    with pytest.raises(UserError, match="no finished feature cache"):
        FeatureCache(folder)
    for path in paths[: 4 * batches]:
        path.unlink()  # were they computed again, they would be missing
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    assert cache.folder == folder and cache.valid.all()
    assert_same(cache.read(range(COUNT)), expected)
    assert [end for end, _ in record(cache)["chunks"]] == [4, 8, 12, 16, 20, 22]


def test_what_was_torn_by_the_interruption_is_computed_again(
    tmp_path, backbone, weights, paths
) -> None:
    failing = interrupt_after(Backbone("squeezenet1_1", weights=weights), 4)
    with pytest.raises(Interrupted):
        FeatureCache.build(tmp_path / "cache", paths, failing, TRANSFORM, **QUIET)
    (folder,) = (tmp_path / "cache").iterdir()
    data = bytearray((folder / "features.npy").read_bytes())
    data[128 + 10 * 9 * 512 * 2] ^= 255  # in the third chunk
    (folder / "features.npy").write_bytes(data + b"torn")
    for path in paths[:8]:
        path.unlink()
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    assert cache.valid.all()
    assert_same(cache.read(range(8, COUNT)), computed(backbone, paths[8:]))


SLOW_BUILD = """
import sys, time
from pathlib import Path
from captioning.backbone import Backbone
from captioning.features import FeatureCache, computation
from captioning.transform import ImageTransform

computation.CHUNK = 4
forward = Backbone.forward
def slow(self, images):
    time.sleep(float(sys.argv[4]))
    return forward(self, images)
Backbone.forward = slow
paths = sorted(Path(sys.argv[1]).glob("*.jpg"))
FeatureCache.build(
    sys.argv[2], paths, Backbone("squeezenet1_1", weights=sys.argv[3]), ImageTransform(size=64),
    batch_size=4, progress=False,
)
"""


def start_build(tmp_path: Path, weights: Path, delay: float, **options) -> subprocess.Popen:
    """A build in another process, `delay` seconds a batch."""
    arguments = [str(tmp_path / "images"), str(tmp_path / "cache"), str(weights), str(delay)]
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "."},
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for_chunks(folder: Path, chunks: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for found in folder.glob("*/record.json"):
            if len(json.loads(found.read_text())["chunks"]) >= chunks:
                return
        time.sleep(0.01)
    raise TimeoutError


def test_a_killed_process_leaves_its_chunks_to_one_that_waits(
    tmp_path, backbone, weights, paths, capfd
) -> None:
    process = start_build(tmp_path, weights, delay=0.5)
    wait_for_chunks(tmp_path / "cache", 2)
    for path in paths[:8]:
        path.unlink()
    threading.Timer(0.7, process.send_signal, [signal.SIGKILL]).start()
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    assert process.wait() == -signal.SIGKILL
    assert "another process is computing" in capfd.readouterr().err
    assert cache.valid.all()
    assert_same(cache.read(range(8, COUNT)), computed(backbone, paths[8:]))


def test_two_builds_at_once_make_one_cache(tmp_path, backbone, paths) -> None:
    made: list[FeatureCache] = []

    def build() -> None:
        made.append(FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET))

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3 and len({cache.folder for cache in made}) == 1
    for cache in made:
        assert_same(cache.read(range(COUNT)), computed(backbone, paths))


def test_a_disk_that_is_too_small_is_refused_before_any_work(tmp_path, backbone) -> None:
    nowhere = [tmp_path / f"{index}.jpg" for index in range(30_000)]
    with pytest.raises(UserError, match=r"need \d+\.\d\d GB in .*, where .* GB are free"):
        FeatureCache.build(tmp_path / "cache", nowhere, backbone, ImageTransform(16_000), **QUIET)
    assert not list((tmp_path / "cache").glob("*/features.npy"))


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from common.errors import run_command
def main():
    exec(compile({build!r}, "build", "exec"), {{"__name__": "build"}})
run_command(main)
"""


def test_when_the_disk_fills_up_what_was_computed_is_kept(
    tmp_path, backbone, weights, paths
) -> None:
    """A limit of file size stands for the full disk: the same error from the same call."""
    arguments = [str(tmp_path / "images"), str(tmp_path / "cache"), str(weights), "0"]
    result = subprocess.run(
        [sys.executable, "-c", LIMITED.format(build=SLOW_BUILD), *arguments],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("error: no space left for the features in")
    assert "8 of 22 images done" in result.stderr and result.stderr.count("\n") == 1
    for path in paths[:8]:
        path.unlink()
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    assert cache.valid.all()
    assert_same(cache.read(range(8, COUNT)), computed(backbone, paths[8:]))


def test_progress_counts_images(tmp_path, backbone, paths, capfd) -> None:
    FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, batch_size=4)
    shown = capfd.readouterr().err
    assert "features of squeezenet1_1" in shown and "22/22" in shown and "images/s" in shown
