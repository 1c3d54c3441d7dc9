"""Only the generator of the training's own device is kept, and none of a GPU that is not used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from common.training.checkpoint import Checkpoint, random_state, restore_random_state
from common.training.distributed import World
from common.training.progress import Progress


def broken(*arguments: object, **options: object) -> None:
    raise AssertionError("a training on the CPU has started CUDA")


def test_a_training_on_the_cpu_never_starts_cuda(monkeypatch):
    for name in (
        "get_rng_state",
        "get_rng_state_all",
        "set_rng_state",
        "set_rng_state_all",
        "_lazy_init",
    ):
        monkeypatch.setattr(torch.cuda, name, broken)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    state = random_state()
    expected = torch.rand(3)
    assert restore_random_state(state)
    assert torch.equal(torch.rand(3), expected)


def test_what_cannot_be_restored_is_said(monkeypatch):
    """A state of a GPU that is resumed on the CPU: its masks of dropout go on otherwise."""

    class Run:
        path = Path("runs/x")

        def load_training_state(self) -> dict:
            generators = random_state() | {"device": torch.zeros(16, dtype=torch.uint8)}
            return {"model": {}, "progress": {"step": 3}, "generators": [generators]}

    class Part:
        def state_dict(self) -> dict:
            return {}

        def load_state_dict(self, state: dict) -> None:
            pass

    said: list[str] = []
    parts = {"model": Part()}
    Checkpoint(Run(), Progress(), parts, world=World(), seed=0, say=said.append).restore()  # type: ignore
    assert len(said) == 1 and "was not saved on cpu" in said[0] and "\n" not in said[0]


@pytest.mark.parametrize("seed", [0, 5])
def test_own_words_are_drawn_as_multinomial_draws_them(seed):
    """`torch.multinomial` would ask a GPU whether its input is sound, and wait for the answer."""
    from common.decoding import ScheduledSampling, constant_ratio

    logits = torch.randn(6, 9)
    sampling = ScheduledSampling(constant_ratio(0), words="sampled", forbidden=(0, 3))
    banned = logits.index_fill(1, torch.tensor([0, 3]), -torch.inf)
    torch.manual_seed(seed)
    expected = torch.multinomial(banned.softmax(1), 1).squeeze(1)
    torch.manual_seed(seed)
    before = logits.clone()
    assert torch.equal(sampling.choose(logits), expected)
    assert torch.equal(logits, before)
