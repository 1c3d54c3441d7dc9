"""Generated scenes: a function of the seed, never in doubt, and with combinations held out."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from common.synthetic.scenes import SPLITS, generate
from common.synthetic.scenes.scene import HELD_OUT
from common.synthetic.scenes.shapes import COLOURS, KINDS, SIZES
from tests.common.synthetic.scenes.examples import extent, pixels_of, scenes


def test_a_scene_is_a_function_of_seed_split_and_index():
    assert generate(3, 8, "val") == generate(3, 8, "val")
    different = {str(generate(*key)) for key in itertools.product((0, 1), (0, 1), SPLITS)}
    assert len(different) == 12


def test_scenes_are_the_same_in_another_process_with_another_hash_seed():
    program = (
        "from common.synthetic.scenes import SPLITS, generate; import hashlib\n"
        "made = [generate(1, i, s, 3) for s in SPLITS for i in range(20)]\n"
        "text = ''.join(str((s, s.captions(), s.draw(16).tobytes())) for s in made)\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_relations_are_never_in_doubt_in_the_drawing():
    doubts = 0
    for made in scenes(80):
        boxes = [extent(pixels_of(made, index)) for index in range(len(made.shapes))]
        assert all(0.01 < side < 0.99 for each in made.shapes for side in each.box)
        for one, other in itertools.combinations(boxes, 2):
            gaps = [
                max(one[low], other[low]) - min(one[low + 2], other[low + 2]) - 1 for low in (0, 1)
            ]
            shorter = [min(box[low + 2] - box[low] + 1 for box in (one, other)) for low in (0, 1)]
            assert max(gaps) >= 2
            doubts += sum(
                -0.4 * length < gap < 2 for gap, length in zip(gaps, shorter, strict=True)
            )
    assert doubts == 0


def test_held_out_combinations_are_seen_only_where_they_should_be():
    for split in ("train", "val"):
        for made in scenes(400, split):
            assert not made.has_held_out
            assert HELD_OUT.isdisjoint((each.colour, each.kind) for each in made.shapes)
    held_out = scenes(150, "val_held_out")
    assert all(made.has_held_out for made in held_out)
    met = {(each.colour, each.kind) for made in held_out for each in made.shapes}
    assert met >= HELD_OUT


def test_training_has_all_that_held_out_scenes_are_made_of():
    train, held_out = scenes(700, most=2), scenes(200, "val_held_out", most=2)
    shapes = [each for made in train for each in made.shapes]
    assert len({(each.colour, each.kind) for each in shapes}) == 40 - len(HELD_OUT)
    assert {(each.kind, each.size) for each in shapes} == set(itertools.product(KINDS, SIZES))
    assert {(each.colour, each.size) for each in shapes} == set(itertools.product(COLOURS, SIZES))
    words, held_out_words = (
        {word for made in some for text in made.captions() for word in text.split()}
        for some in (train, held_out)
    )
    assert held_out_words <= words


@pytest.mark.parametrize(("fewest", "most"), [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)])
def test_scenes_have_as_many_shapes_as_asked_for(fewest: int, most: int):
    counts = {len(generate(2, index, "train", most, fewest).shapes) for index in range(100)}
    assert counts == set(range(fewest, most + 1))


def test_a_split_or_number_that_does_not_exist_is_refused():
    with pytest.raises(ValueError):
        generate(0, 0, "test")
    with pytest.raises(ValueError):
        generate(0, 0, "train", most=4)
    with pytest.raises(ValueError):
        generate(0, 0, "train", most=2, fewest=3)
