"""In the clips of a wedge, only the order of the frames tells what it does."""

from __future__ import annotations

from collections import Counter

import numpy as np

from common.synthetic.clips import CHANGES, moving_shapes

OPPOSITE = {each.falls: each.rises for each in CHANGES.values()}
OPPOSITE |= {rises: falls for falls, rises in OPPOSITE.items()}
CLIPS = moving_shapes(400)


def test_captions_events_and_actions_agree():
    again = moving_shapes(3)
    for one, other in zip(CLIPS[:3], again, strict=True):
        assert np.array_equal(one.frames, other.frames)
    for clip in CLIPS:
        assert clip.frames.shape == (12, 32, 32, 3) and len(clip.events) == 12
        first, second = clip.events[0], clip.events[-1]
        assert " ".join(clip.caption[3:]) == f"{first} , then {second}"
        assert first not in (second, OPPOSITE[second])
        assert Counter(clip.events).most_common(1)[0][0] == clip.action
        assert clip.events == sorted(clip.events, key=[first, second].index)
        moved = np.abs(np.diff(clip.frames.astype(int), axis=0)).sum((1, 2, 3))
        assert (moved > 0).all()


def test_each_direction_is_as_frequent_as_its_opposite():
    counts = Counter(clip.action for clip in CLIPS)
    assert set(counts) == set(OPPOSITE) and min(counts.values()) > 25
    lasts = Counter(clip.events.count(clip.events[0]) for clip in CLIPS)
    assert set(lasts) == {4, 5, 8, 9}


def test_a_wedge_that_moves_left_is_further_left_at_the_end():
    for clip in CLIPS[:100]:
        if clip.events[1] != "moves left":
            continue
        last = clip.events.count("moves left") - 1
        still = clip.frames[[0, last]].astype(int)
        coloured = still.max(-1) - still.min(-1) > 60
        columns = [np.nonzero(each)[1].mean() for each in coloured]
        assert columns[1] < columns[0]
