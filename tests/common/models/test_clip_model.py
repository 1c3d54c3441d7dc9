"""Clips are classified, frame by frame too, and described: alone as in a batch."""

from __future__ import annotations

import numpy as np
import torch

from common.data.clips import Clip
from common.models.clip_model import ClipEncoder, ClipModel, ClipNames

DRAW = np.random.default_rng(0)


def clip(steps: int, action: str) -> Clip:
    frames = DRAW.integers(0, 256, (steps, 16, 24, 3)).astype(np.uint8)
    return Clip(frames, action, [action] * (steps - 1) + ["rests"], ["it", action])


CLIPS = [clip(5, "falls"), clip(1, "rises"), clip(3, "falls")]
NAMES = ClipNames.of(CLIPS)


def model() -> ClipModel:
    torch.manual_seed(0)
    sizes = len(NAMES.actions), len(NAMES.events), len(NAMES.words)
    return ClipModel(*sizes, feature_size=6, hidden_size=8, dropout=0.5)


def test_a_clip_is_described_the_same_alone_and_in_a_batch():
    network = model().double().eval()
    together = NAMES.collate(CLIPS)
    assert together.events.tolist()[1] == [NAMES.events.encode(["rests"])[0], -1, -1, -1, -1]
    context = network.encode(*together.clips.arguments)
    actions, events = network.classify(context)
    for row, each in enumerate(CLIPS):
        alone = network.encode(*NAMES.collate([each]).clips.arguments)
        action, event = network.classify(alone)
        torch.testing.assert_close(actions[row], action[0])
        torch.testing.assert_close(events[row, : len(each.frames)], event[0])
    found = network.predict(together)
    assert [len(each.events) for each in found] == [5, 1, 3]
    (alone,) = network.predict(NAMES.collate(CLIPS[:1]))
    assert alone.caption == found[0].caption
    named = NAMES.named(alone, CLIPS[0].frames)
    assert named.action in NAMES.actions.names and len(named.events) == 5


def test_the_loss_is_a_mean_over_classes_and_words():
    network, batch = model().eval(), NAMES.collate(CLIPS)
    loss = network.loss(batch)
    # Three clips, nine frames, and three captions of two words and their end.
    assert loss.count == 3 + 9 + 9
    context = network.encode(*batch.clips.arguments)
    actions, events = (logits.log_softmax(-1) for logits in network.classify(context))
    steps = [(row, at) for row, each in enumerate(CLIPS) for at in range(len(each.frames))]
    nll = -sum(actions[row, batch.actions[row]] for row in range(3))
    nll -= sum(events[row, at, batch.events[row, at]] for row, at in steps)
    words = network.sentence_loss(context, batch.clips)
    torch.testing.assert_close(loss.sums["nll"], nll + words.sums["nll"], atol=1e-4, rtol=1e-5)
    loss.value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_names_are_saved_and_read(tmp_path):
    for name, write in NAMES.files():
        write(tmp_path / name)
    again = ClipNames.load(tmp_path.joinpath)
    assert again.words == NAMES.words and again.actions.names == NAMES.actions.names


def test_layers_are_as_many_as_are_asked_for():
    assert [ClipEncoder(8, 4, num_layers=n).recurrent.num_layers for n in (1, 3)] == [1, 3]
