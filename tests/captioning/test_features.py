"""A feature cache: equal to the network, resumed after a kill, and never read when it is wrong."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import captioning.features
from captioning.backbone import Backbone
from captioning.features import FeatureCache
from captioning.transform import ImageTransform
from common.errors import UserError

COUNT = 22
TRANSFORM = ImageTransform(size=64)
QUIET = {"batch_size": 4, "progress": False}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose features of different pictures differ."""
    torch.manual_seed(3)
    backbone = Backbone("squeezenet1_1")
    for name, parameter in backbone.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(backbone.network.state_dict(), path)
    return path


@pytest.fixture
def backbone(weights: Path) -> Backbone:
    return Backbone("squeezenet1_1", weights=weights)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures of different sizes."""
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(COUNT):
        pixels = generator.integers(0, 256, (3, 3 + index % 4, 3), np.uint8)
        size = (60 + 7 * (index % 3), 70)
        Image.fromarray(pixels).resize(size).save(folder / f"{index:02}.jpg", quality=95)
    return sorted(folder.glob("*.jpg"))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is recorded every four images."""
    monkeypatch.setattr(captioning.features, "CHUNK", 4)


def computed(backbone: Backbone, paths: Sequence[Path], mirror: bool = False) -> torch.Tensor:
    with torch.no_grad():
        return backbone(TRANSFORM(paths, mirror))


def first_of(cache: FeatureCache, backbone: Backbone, path: Path, transform: ImageTransform):
    """What the first features of a cache should be: (1, S, C), or (1, C)."""
    with torch.no_grad():
        grid = backbone(transform([path]))
    return grid if len(cache.shape) == 2 else grid.mean(1)


def assert_same(features: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for the rounding to fp16, relative to 1/1024 of each value."""
    assert features.dtype == torch.float16
    torch.testing.assert_close(features.float(), expected.float(), rtol=1e-3, atol=1e-3)


def record(cache: FeatureCache) -> dict:
    return json.loads((cache.folder / "record.json").read_text())


# ---- what is read is what the network gives


def test_the_cache_holds_what_the_network_gives(tmp_path: Path, backbone, paths) -> None:
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    expected = computed(backbone, paths)
    assert expected.std(0).mean() > 0.01  # the pictures differ in their features
    assert len(cache) == COUNT and cache.valid.all() and cache.problems == []
    assert cache.shape == (9, 512) == expected.shape[1:] and cache.feature_size == 512
    assert_same(cache.read(range(COUNT)), expected)
    rows = [7, 0, 21, 7, 3]
    assert_same(cache.read(rows), expected[rows])
    assert cache.read(np.array([], int)).shape == (0, 9, 512)


def test_mirrored_features_are_those_of_the_mirrored_picture(tmp_path, backbone, paths) -> None:
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, mirror=True, **QUIET)
    plain, mirrored = computed(backbone, paths), computed(backbone, paths, mirror=True)
    assert cache.copies == 2 and len(cache) == COUNT
    rows, flipped = np.array([5, 2, 2, 11]), np.array([True, False, True, False])
    expected = torch.where(torch.tensor(flipped).view(-1, 1, 1), mirrored[rows], plain[rows])
    assert_same(cache.read(rows, flipped), expected)
    assert_same(cache.read(rows), plain[rows])


def test_pooled_features_are_the_mean_of_the_grid(tmp_path, backbone, paths) -> None:
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, grid=False, **QUIET)
    assert cache.shape == (512,)
    assert_same(cache.read([3, 1]), computed(backbone, paths)[[3, 1]].mean(1))


def test_bf16_gives_nearly_the_same(tmp_path, backbone, paths) -> None:
    cache = FeatureCache.build(
        tmp_path / "cache", paths[:4], backbone, TRANSFORM, precision="bf16", **QUIET
    )
    expected = computed(backbone, paths[:4])
    assert (cache.read(range(4)).float() - expected).norm() < 0.05 * expected.norm()


def test_values_beyond_fp16_stay_finite_and_broken_weights_are_refused(
    tmp_path, backbone, paths
) -> None:
    last = backbone.network.get_submodule("features.12")
    with torch.no_grad():
        last.expand1x1.weight *= 1e6
    cache = FeatureCache.build(tmp_path / "cache", paths[:4], backbone, TRANSFORM, **QUIET)
    assert cache.read(range(4)).max() == torch.finfo(torch.float16).max
    with torch.no_grad():
        last.expand1x1.weight[0] = torch.nan
    with pytest.raises(UserError, match="no finite numbers"):
        FeatureCache.build(tmp_path / "cache", paths[:4], backbone, TRANSFORM, **QUIET)


def test_rows_that_are_not_there(tmp_path, backbone, paths) -> None:
    cache = FeatureCache.build(tmp_path / "cache", paths[:4], backbone, TRANSFORM, **QUIET)
    with pytest.raises(IndexError):
        cache.read([4])
    with pytest.raises(ValueError, match="without mirrored"):
        cache.read([0, 1], [False, True])
    assert cache.read([0, 1], [False, False]).shape == (2, 9, 512)
    with pytest.raises(ValueError, match="no images"):
        FeatureCache.build(tmp_path / "cache", [], backbone, TRANSFORM)


# ---- computed once


def test_images_are_not_needed_again(tmp_path, backbone, paths) -> None:
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    expected = cache.read(range(COUNT))
    shutil.rmtree(paths[0].parent)
    for again in (
        cache,
        FeatureCache(cache.folder),
        FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET),
    ):
        assert again.valid.all() and torch.equal(again.read(range(COUNT)), expected)


def test_another_process_opens_the_file_and_is_not_sent_it(tmp_path, backbone, paths) -> None:
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    sent = pickle.dumps(cache)
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent).read([4, 2]), cache.read([4, 2]))


def test_whatever_the_features_depend_on_has_a_cache_of_its_own(
    tmp_path, backbone, weights, paths
) -> None:
    def folder(network=backbone, images=paths[:4], transform=TRANSFORM, **options) -> Path:
        cache = FeatureCache.build(
            tmp_path / "cache", images, network, transform, **QUIET, **options
        )
        assert_same(cache.read([0]), first_of(cache, network, images[0], transform))
        return cache.folder

    nudged = Backbone("squeezenet1_1", weights=weights)
    with torch.no_grad():
        nudged.network.features[0].weight[0] += 0.1
    first = folder()
    others = [
        folder(network=nudged),
        folder(images=paths[:5]),
        folder(images=paths[3::-1]),
        folder(transform=ImageTransform(size=64, fit="crop")),
        folder(transform=ImageTransform(size=80)),
        folder(mirror=True),
        folder(grid=False),
    ]
    assert len({first, *others}) == len(others) + 1
    assert folder() == folder(workers=1) == folder(precision="fp32") == first


# ---- interrupted


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
import captioning.features
from captioning.backbone import Backbone
from captioning.transform import ImageTransform

captioning.features.CHUNK = 4
forward = Backbone.forward
def slow(self, images):
    time.sleep(float(sys.argv[4]))
    return forward(self, images)
Backbone.forward = slow
paths = sorted(Path(sys.argv[1]).glob("*.jpg"))
captioning.features.FeatureCache.build(
    sys.argv[2], paths, Backbone("squeezenet1_1", weights=sys.argv[3]), ImageTransform(size=64),
    batch_size=4, progress=False,
)
"""


def start_build(tmp_path: Path, weights: Path, delay: float, **options) -> subprocess.Popen:
    """A build in another process, `delay` seconds a batch."""
    arguments = [str(tmp_path / "images"), str(tmp_path / "cache"), str(weights), str(delay)]
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, *arguments],
        cwd=Path(__file__).parents[2],
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


# ---- damage


def test_damage_to_a_finished_cache_is_found_and_repaired(tmp_path, backbone, paths) -> None:
    def truncated(file: Path) -> None:
        os.truncate(file, file.stat().st_size - 1)

    def flipped(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[-1000] ^= 1
        file.write_bytes(data)

    def foreign(file: Path) -> None:
        np.save(file, np.zeros((COUNT, 9, 512), np.float32))

    def emptied(file: Path) -> None:
        file.write_bytes(b"")

    expected = computed(backbone, paths)
    for harm in (truncated, flipped, foreign, emptied, Path.unlink):
        cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
        harm(cache.folder / "features.npy")
        with pytest.raises(UserError, match=r"features\.npy is damaged"):
            FeatureCache(cache.folder)
        again = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
        assert_same(again.read(range(COUNT)), expected)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 99}', '{"version": 1}', '{"version": 1, "images": "x"}']
    + [json.dumps({"version": 1, "key": {}, "images": COUNT, "copies": 1, "shape": [9, 512],
                   "chunks": chunks, "damaged": {}, "seal": [1, 2]})
       for chunks in ([[COUNT, 0]], [[9, 0], [3, 0]], [["x", 0]], [[99, 0]], 3)],
)  # fmt: skip
def test_a_record_that_makes_no_sense_is_not_believed(
    tmp_path, backbone, paths, content: str
) -> None:
    cache = FeatureCache.build(tmp_path / "cache", paths[:4], backbone, TRANSFORM, **QUIET)
    (cache.folder / "record.json").write_text(content)
    with pytest.raises(UserError, match="no finished feature cache|damaged"):
        FeatureCache(cache.folder)
    again = FeatureCache.build(tmp_path / "cache", paths[:4], backbone, TRANSFORM, **QUIET)
    assert_same(again.read(range(4)), computed(backbone, paths[:4]))


def test_a_copied_cache_is_checked_once_and_believed(tmp_path, backbone, paths) -> None:
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    expected, features = cache.read(range(COUNT)), cache.folder / "features.npy"
    inode = features.stat().st_ino
    os.utime(features, ns=(1, 1))
    assert torch.equal(FeatureCache(cache.folder).read(range(COUNT)), expected)
    again = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    assert record(again)["seal"][1] == 1 and features.stat().st_ino == inode


def test_a_changed_picture_is_never_read_from_before(tmp_path, backbone, paths) -> None:
    before = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    old = before.read(range(COUNT))
    shutil.copy(paths[2], paths[17])
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    assert torch.equal(cache.read([17]), cache.read([2]))
    # Who had opened the old one goes on with what it opened.
    assert torch.equal(before.read(range(COUNT)), old)


# ---- damaged images


def damage(paths: list[Path]) -> None:
    paths[3].write_bytes(paths[3].read_bytes()[:200])
    paths[4].write_text("no picture")
    paths[21].unlink()


def test_damaged_images_are_listed_and_passed_over(tmp_path, backbone, paths) -> None:
    damage(paths)
    cache = FeatureCache.build(
        tmp_path / "cache", paths, backbone, TRANSFORM, max_damaged=0.2, mirror=True, **QUIET
    )
    assert np.flatnonzero(~cache.valid).tolist() == [3, 4, 21]
    assert [str(paths[i]) in line for i, line in zip((3, 4, 21), cache.problems, strict=True)]
    assert set(record(cache)["damaged"]) == {"3", "4", "21"}
    good = np.flatnonzero(cache.valid)
    assert_same(cache.read(good), computed(backbone, [paths[i] for i in good]))
    with pytest.raises(ValueError, match=r"damaged and have no features: \[3, 21\]"):
        cache.read([2, 3, 21])


def test_too_many_damaged_images_are_an_error_until_the_limit_is_raised(
    tmp_path, backbone, paths
) -> None:
    damage(paths)
    with pytest.raises(UserError, match="3 of 22 items are damaged") as caught:
        FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    assert "\n" not in str(caught.value)
    for path in paths:
        path.unlink(missing_ok=True)  # what was computed is kept
    cache = FeatureCache.build(
        tmp_path / "cache", paths, backbone, TRANSFORM, max_damaged=0.2, **QUIET
    )
    assert cache.valid.sum() == COUNT - 3


def test_a_repaired_image_gets_features(tmp_path, backbone, paths) -> None:
    damage(paths)
    FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, max_damaged=0.2, **QUIET)
    for index in (3, 4, 21):
        shutil.copy(paths[0], paths[index])
    cache = FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)
    assert cache.valid.all() and cache.problems == []
    assert torch.equal(cache.read([21]), cache.read([0]))


def test_a_folder_full_of_damage_is_refused(tmp_path, backbone, paths) -> None:
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(UserError, match="22 of 22"):
        FeatureCache.build(tmp_path / "cache", paths, backbone, TRANSFORM, **QUIET)


# ---- space


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
        cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"},
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


# ---- on real photographs


def test_cached_features_of_photographs_are_those_of_the_network(tmp_path, shared: Path) -> None:
    names = sorted((shared / "flickr8k" / "images").iterdir())[:6]
    backbone = Backbone("mobilenet_v2", weights=shared / "weights" / "mobilenet_v2.pth")
    transform = ImageTransform()
    cache = FeatureCache.build(tmp_path, names, backbone, transform, mirror=True, progress=False)
    with torch.no_grad():
        for mirror in (False, True):
            features = cache.read(range(6), [mirror] * 6).float()
            assert features.shape == (6, 49, 1280)
            expected = backbone(transform(names, mirror))
            assert (features - expected).norm() < 5e-4 * expected.norm()
