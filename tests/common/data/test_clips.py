"""Folders of frames become clips, and a clip is seen whole, shuffled, or by one frame."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from common.data.clips import Clip, read_clips
from common.errors import UserError


def write(folder, name: str, grey: int) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10), (grey, grey, grey)).save(folder / name)


def test_frames_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in range(10):
        for at in (1, 2, 10):
            write(tmp_path, f"jump_up/clip{number}/frame{at}.png", 20 * at)
        write(tmp_path, f"walk/{number}/1.jpg", 90)
    (tmp_path / "jump_up" / "clip0" / "notes.txt").write_text("not a frame")
    found = read_clips(tmp_path, 8)
    assert len(found["train"]) + len(found["val"]) == 20 and found["val"]
    assert [clip.action for clip in read_clips(tmp_path, 8)["val"]] == [
        clip.action for clip in found["val"]
    ]
    jumps = [clip for clip in found["train"] if clip.action == "jump_up"]
    assert jumps[0].frames.shape == (3, 8, 8, 3) and jumps[0].frames.dtype == np.uint8
    assert jumps[0].frames[:, 0, 0, 0].tolist() == [20, 40, 200]
    assert jumps[0].events == ["jump_up"] * 3 and jumps[0].caption == ["jump", "up"]


def test_what_is_no_folder_of_clips_is_refused(tmp_path):
    with pytest.raises(UserError, match="0 classes.*walk/one/001.png"):
        read_clips(tmp_path / "missing", 8)
    write(tmp_path, "walk/one/1.png", 1)
    with pytest.raises(UserError, match="1 classes"):
        read_clips(tmp_path, 8)
    (tmp_path / "run" / "one").mkdir(parents=True)
    with pytest.raises(UserError, match="one: no frame in it"):
        read_clips(tmp_path, 8)
    (tmp_path / "run" / "one" / "1.png").write_bytes(b"\x89PNG damaged")
    with pytest.raises(UserError, match="1.png: not an image that can be read"):
        read_clips(tmp_path, 8)


def test_a_clip_is_seen_whole_shuffled_or_by_one_frame():
    frames = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    clip, draws = Clip(frames, "counts", list("abcdef"), []), np.random.default_rng(0)
    assert clip.seen("all", draws).frames.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    shuffled = clip.seen("shuffled", draws)
    assert sorted(shuffled.events) == list("abcdef") != shuffled.events
    assert ["abcdef"[at] for at in shuffled.frames.ravel()] == shuffled.events
    assert [clip.seen("frame", draws, place).events for place in (0, 0.4, 1)] == [
        ["a"],
        ["c"],
        ["f"],
    ]
    assert len({*(clip.seen("frame", draws).events[0] for _ in range(50))}) > 3
