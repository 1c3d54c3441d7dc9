"""A feature cache: equal to the network, computed once, resumed, by one process at a time."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from captioning.backbone import Backbone
from captioning.features import FeatureFolder, cached_features
from captioning.transform import ImageTransform
from common.errors import UserError
from tests.captioning.features.caches import (
    COUNT,
    TRANSFORM,
    assert_same,
    build,
    computed,
    done,
    read,
)

ROOT = Path(__file__).parents[3]


# --- what it holds


def test_the_cache_holds_what_the_network_gives(tmp_path: Path, backbone, paths) -> None:
    cache = build(tmp_path, paths, backbone, names=[path.name for path in paths])
    expected = computed(backbone, paths)
    assert expected.std(0).mean() > 0.01  # the pictures differ in their features
    assert cache.regions and cache.feature_size == 512 and not cache.mirrored
    assert_same(read(cache), expected)
    rows = [7, 0, 21, 7, 3]
    assert_same(read(cache, rows), expected[rows])
    # As another project reads it.
    assert np.array_equal(np.load(cache.path / "features.npy"), read(cache).numpy())
    lines = (cache.path / "names.txt").read_text().splitlines()
    assert lines == [f"{number:02}.jpg" for number in range(COUNT)]


def test_mirrored_features_are_those_of_the_mirrored_picture(tmp_path, backbone, paths) -> None:
    cache = build(tmp_path, paths, backbone, mirror=True)
    plain, mirrored = computed(backbone, paths), computed(backbone, paths, mirror=True)
    rows, flipped = np.array([5, 2, 2, 11]), np.array([True, False, True, False])
    expected = torch.where(torch.tensor(flipped).view(-1, 1, 1), mirrored[rows], plain[rows])
    assert cache.mirrored
    assert_same(read(cache, rows, flipped), expected)
    assert_same(read(cache, rows), plain[rows])


def test_pooled_features_are_the_mean_of_the_grid(tmp_path, backbone, paths) -> None:
    cache = build(tmp_path, paths, backbone, grid=False, mirror=True)
    assert not cache.regions
    assert_same(read(cache, [3, 1]), computed(backbone, paths)[[3, 1]].mean(1))
    mirrored = computed(backbone, paths, mirror=True)
    assert_same(read(cache, [3, 1], [True, True]), mirrored[[3, 1]].mean(1))


def test_values_beyond_fp16_stay_finite_and_broken_weights_are_refused(
    tmp_path, backbone, paths
) -> None:
    last = backbone.network.get_submodule("features.12")
    with torch.no_grad():
        last.expand1x1.weight *= 1e6
    cache = build(tmp_path, paths[:4], backbone)
    assert read(cache, range(4)).max() == torch.finfo(torch.float16).max
    with torch.no_grad():
        last.expand1x1.weight[0] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        build(tmp_path, paths[:4], backbone)


def test_whatever_the_features_depend_on_has_a_cache_of_its_own(
    tmp_path, backbone, weights, paths
) -> None:
    def folder(network=backbone, images=paths[:4], transform=TRANSFORM, **options) -> Path:
        cache = build(tmp_path, images, network, transform, **options)
        with torch.no_grad():
            grid = network(transform(images[:1]))
        assert_same(read(cache, [0]), grid if cache.regions else grid.mean(1))
        return cache.path

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
        folder(names=["a", "b", "c", "d"]),
    ]
    assert len({first, *others}) == len(others) + 1
    assert folder() == first
    with pytest.raises(ValueError, match="no images"):
        folder(images=[])


def test_cached_features_of_photographs_are_those_of_the_network(tmp_path, shared: Path) -> None:
    names = sorted((shared / "flickr8k" / "images").iterdir())[:6]
    backbone = Backbone("mobilenet_v2", weights=shared / "weights" / "mobilenet_v2.pth")
    transform = ImageTransform()
    cache = build(tmp_path, names, backbone, transform, mirror=True)
    with torch.no_grad():
        for mirror in (False, True):
            features = read(cache, range(6), [mirror] * 6).float()
            assert features.shape == (6, 49, 1280)
            pixels = transform(names)
            expected = backbone(pixels.flip(-1) if mirror else pixels)
            # Each is rounded by up to half a unit of fp16, half of that on average.
            half = torch.finfo(torch.float16).eps / 2
            assert (features - expected).norm() < half * expected.norm()


# --- damaged images, and images that change


def test_damaged_images_are_listed_and_repaired_ones_get_features(
    tmp_path, backbone, paths
) -> None:
    paths[3].write_bytes(paths[3].read_bytes()[:200])
    paths[4].write_text("no picture")
    paths[21].unlink()
    cache, damaged = cached_features(
        tmp_path, paths, backbone, TRANSFORM, mirror=True, batch_size=1
    )
    assert list(damaged) == [3, 4, 21]
    assert all(str(paths[row]) in line for row, line in damaged.items())
    good = [row for row in range(COUNT) if row not in damaged]
    assert_same(read(cache, good), computed(backbone, [paths[row] for row in good]))
    assert [name == "" for name in cache.names] == [row in damaged for row in range(COUNT)]
    assert cached_features(tmp_path, paths, backbone, TRANSFORM, mirror=True)[1] == damaged
    for row in damaged:
        shutil.copy(paths[0], paths[row])
    repaired = build(tmp_path, paths, backbone, mirror=True)
    assert torch.equal(read(repaired, [21]), read(repaired, [0]))


def test_images_are_not_needed_again(tmp_path, backbone, paths) -> None:
    expected = read(build(tmp_path / "cache", paths, backbone))
    shutil.rmtree(paths[0].parent)
    assert torch.equal(read(build(tmp_path / "cache", paths, backbone)), expected)


def test_a_changed_picture_is_never_read_from_before(tmp_path, backbone, paths) -> None:
    before = build(tmp_path, paths, backbone)
    old = read(before)
    shutil.copy(paths[2], paths[17])
    cache = build(tmp_path, paths, backbone)
    assert torch.equal(read(cache, [17]), read(cache, [2]))
    # Who had opened the old one goes on with what it opened.
    assert torch.equal(read(before), old)


@pytest.mark.parametrize("harm", ["truncated", "foreign", "emptied", "removed"])
def test_damage_to_a_finished_cache_is_found_and_repaired(tmp_path, backbone, paths, harm) -> None:
    file = build(tmp_path, paths, backbone).path / "features.npy"
    {
        "truncated": lambda: os.truncate(file, file.stat().st_size - 1),
        "foreign": lambda: np.save(file, np.zeros((COUNT, 9, 512), np.float32)),
        "emptied": lambda: file.write_bytes(b""),
        "removed": file.unlink,
    }[harm]()
    assert_same(read(build(tmp_path, paths, backbone)), computed(backbone, paths))


@pytest.mark.parametrize("file", ["record.json", "images.npy"])
@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"key": 1}', '{"key": {}, "done": 4, "damaged": {}}', "PK"]
)
def test_a_record_that_makes_no_sense_is_not_believed(
    tmp_path, backbone, paths, file, content
) -> None:
    cache = build(tmp_path, paths[:4], backbone)
    (cache.path / file).write_text(content)
    (cache.path / "features.npy").write_bytes(b"")
    assert_same(read(build(tmp_path, paths[:4], backbone), range(4)), computed(backbone, paths[:4]))


@pytest.mark.parametrize(
    "change",
    [{"done": -1}, {"done": 5}, {"done": 2.5}, {"done": "4"}, {"done": None}, {"damaged": []},
     {"damaged": {"-1": "x"}}, {"damaged": {"4": "x"}}, {"damaged": {"a": "x"}}, {"key": [[]]}],
    ids=str,
)  # fmt: skip
def test_values_of_other_types_are_not_believed(tmp_path, backbone, paths, change) -> None:
    folder = build(tmp_path, paths[:4], backbone).path
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(record | change))
    assert_same(read(build(tmp_path, paths[:4], backbone), range(4)), computed(backbone, paths[:4]))
    assert json.loads((folder / "record.json").read_text()) == record


# --- interrupted, and by several processes


class Interrupted(Exception):
    pass


def interrupt_after(backbone: Backbone, batches: int) -> Backbone:
    """The network fails in the batch after so many; its weights and its name are the same."""

    class Failing(type(backbone)):  # type: ignore[misc]
        left = batches

        def inference_copy(self) -> Backbone:
            return self

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if not Failing.left:
                raise Interrupted
            Failing.left -= 1
            return super().forward(images)

    backbone.__class__ = Failing
    return backbone


@pytest.mark.parametrize("batches", [0, 2, 5])
def test_a_build_goes_on_after_the_last_complete_batch(
    tmp_path, backbone, weights, paths, batches: int
) -> None:
    failing = interrupt_after(Backbone("squeezenet1_1", weights=weights), batches)
    expected = computed(backbone, paths)
    with pytest.raises(Interrupted):
        build(tmp_path / "cache", paths, failing)
    (folder,) = (tmp_path / "cache").iterdir()
    with pytest.raises(UserError, match=r"names\.txt is missing"):
        FeatureFolder(folder)
    if batches:
        np.load(folder / "features.npy", "r+")[4 * batches :] = np.nan  # a torn write
    for path in paths[: 4 * batches]:
        path.unlink()  # were they computed again, they would be missing
    cache = build(tmp_path / "cache", paths, backbone)
    assert cache.path == folder and done(folder) == COUNT
    assert_same(read(cache), expected)


SLOW_BUILD = """
import sys, time
from pathlib import Path
from captioning.backbone import Backbone
from captioning.features import cached_features
from captioning.transform import ImageTransform

forward = Backbone.forward
def slow(self, images):
    time.sleep(float(sys.argv[4]))
    return forward(self, images)
Backbone.forward = slow
paths = sorted(Path(sys.argv[1]).glob("*.jpg"))
backbone = Backbone("squeezenet1_1", weights=sys.argv[3])
cached_features(sys.argv[2], paths, backbone, ImageTransform(size=64), batch_size=4)
"""


def arguments(tmp_path: Path, weights: Path, delay: float) -> list[str]:
    return [str(tmp_path / "images"), str(tmp_path / "cache"), str(weights), str(delay)]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "."}


def wait_for(folder: Path, images: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(done(found.parent) >= images for found in folder.glob("*/record.json")):
            return
        time.sleep(0.01)
    raise TimeoutError


def test_a_killed_process_leaves_its_batches_to_one_that_waits(
    tmp_path, backbone, weights, paths, capfd
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, *arguments(tmp_path, weights, delay=0.5)],
        cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(tmp_path / "cache", 8)
    for path in paths[:8]:
        path.unlink()
    threading.Timer(0.7, process.send_signal, [signal.SIGKILL]).start()
    cache = build(tmp_path / "cache", paths, backbone)
    assert process.wait() == -signal.SIGKILL
    assert "another process is computing" in capfd.readouterr().err
    assert_same(read(cache, range(8, COUNT)), computed(backbone, paths[8:]))


def test_builds_at_once_make_one_cache(tmp_path, backbone, paths) -> None:
    made: list[FeatureFolder] = []
    threads = [
        threading.Thread(target=lambda: made.append(build(tmp_path, paths, backbone)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3 and len({cache.path for cache in made}) == 1
    for cache in made:
        assert_same(read(cache), computed(backbone, paths))


def test_a_disk_that_is_too_small_is_refused_before_any_work(tmp_path, backbone) -> None:
    nowhere = [tmp_path / f"{index}.jpg" for index in range(30_000)]
    with pytest.raises(UserError, match=r"need [\d,]+\.\d+ MB in .*, where .* MB are free"):
        build(tmp_path / "cache", nowhere, backbone, ImageTransform(4096))
    assert not list((tmp_path / "cache").glob("*/features.npy"))


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from common.errors import run_command
def main():
    exec(compile({build!r}, "build", "exec"), {{"__name__": "build"}})
run_command(main)
"""


def test_a_file_that_cannot_be_written_is_one_line(tmp_path, backbone, weights, paths) -> None:
    """A limit of file size stands for the full disk: an error of the operating system."""
    code = LIMITED.format(build=SLOW_BUILD)
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments(tmp_path, weights, delay=0)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("error: File too large") and result.stderr.count("\n") == 1
    assert_same(read(build(tmp_path / "cache", paths, backbone)), computed(backbone, paths))


def test_when_the_disk_fills_up_what_was_computed_is_kept(
    tmp_path, backbone, paths, monkeypatch
) -> None:
    synchronize, left = os.fsync, 6  # of images.npy, and of features and record of each batch

    def fsync(file: int) -> None:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left -= 1
        synchronize(file)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(os, "fsync", fsync)
        build(tmp_path / "cache", paths, backbone)
    (record,) = (tmp_path / "cache").glob("*/record.json")
    kept = done(record.parent)
    assert kept
    for path in paths[:kept]:
        path.unlink()
    cache = build(tmp_path / "cache", paths, backbone)
    assert_same(read(cache, range(kept, COUNT)), computed(backbone, paths[kept:]))
    content = json.loads((cache.path / "record.json").read_text())
    assert content["key"]["backbone"] == "squeezenet1_1" and content["damaged"] == {}


@pytest.mark.parametrize("name", ["features.npy", "images.npy", "record.json", "names.txt", "lock"])
@pytest.mark.parametrize("target", ["elsewhere", "pipe"])
def test_nothing_of_a_cache_is_written_through_a_link(
    tmp_path, backbone, paths, name, target
) -> None:
    """Nor is a pipe waited for: what is no file of the cache is made again, or refused."""
    folder = build(tmp_path / "cache", paths[:2], backbone).path
    (folder / name).rename(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    before = (tmp_path / "elsewhere").read_bytes()
    (folder / name).symlink_to(tmp_path / target)
    (folder / "names.txt").unlink(missing_ok=name != "names.txt")  # and so the build goes on
    with pytest.raises(UserError, match="lock is") if name == "lock" else nullcontext():
        cache = build(tmp_path / "cache", paths[:2], backbone)
        assert_same(read(cache, [0, 1]), computed(backbone, paths[:2]))
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_a_cache_in_a_link_to_another_folder_is_refused(tmp_path, backbone, paths) -> None:
    folder = build(tmp_path, paths[:2], backbone).path
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link to another folder"):
        build(tmp_path, paths[:2], backbone)
