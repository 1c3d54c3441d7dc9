"""The record of a cache: damage is found, and what is stale is never read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from captioning.features import FeatureCache
from common.errors import UserError
from tests.captioning.features.caches import (
    COUNT,
    QUIET,
    TRANSFORM,
    assert_same,
    computed,
    record,
)


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
