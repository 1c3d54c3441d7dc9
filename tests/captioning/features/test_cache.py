"""A feature cache: equal to the network, computed once, with damaged images passed over."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
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


def first_of(cache: FeatureCache, backbone: Backbone, path: Path, transform: ImageTransform):
    """What the first features of a cache should be: (1, S, C), or (1, C)."""
    with torch.no_grad():
        grid = backbone(transform([path]))
    return grid if len(cache.shape) == 2 else grid.mean(1)


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
            # Each is rounded by up to half a unit of fp16, half of that on average.
            assert (features - expected).norm() < torch.finfo(
                torch.float16
            ).eps / 2 * expected.norm()
