"""The state of a training on disk, from which it goes on exactly as if it had never stopped."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch

from common.compute.device import (
    generator_state,
    is_gpu,
    moved,
    seed_generator,
    set_generator_state,
    to_host,
)
from common.errors import UserError
from common.runs.run import Run
from common.runs.weights import check_same_architecture
from common.training.distributed import World
from common.training.meter import diverged
from common.training.progress import Progress

HOST = torch.device("cpu")


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device = HOST) -> dict[str, Any]:
    """The state of every random generator that a training on a device draws from.

    Of plain values and tensors of the host. The generators of other devices are not touched: a
    training on the CPU starts no GPU.
    """
    version, words, gauss = random.getstate()
    algorithm, keys, *others = np.random.get_state(legacy=True)
    return {
        "python": (version, torch.tensor(words), gauss),
        "numpy": (algorithm, torch.from_numpy(np.asarray(keys, np.int64)), *others),
        "torch": torch.get_rng_state(),
        "device": generator_state(device),
    }


def restore_random_state(state: dict[str, Any], device: torch.device = HOST) -> bool:
    """Put every random generator back to where `random_state` found it.

    Returns:
        Whether the device's own generator is among them: False if the state is of a training on
        another kind of device.
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    algorithm, keys, *others = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), *others))
    torch.set_rng_state(state["torch"])
    return set_generator_state(device, state["device"])


@dataclass(eq=False)
class Checkpoint:
    """Saves the parts of a training, and the random generators, in its run; and restores them.

    Args:
        run, world, seed: as `Trainer` takes them; the generators of each process are kept.
        progress: how far the training has come.
        parts: the others by name, each with `state_dict` and `load_state_dict`; the model as "model";
            None for one that this training has not.
        every_steps, every_minutes: how often the state is to be saved within an epoch; None: never.
        device: that of the training, whose own generator is kept with the others.
        say: called with one line about what of a state cannot be restored here.
    """

    run: Run | None
    progress: Progress
    parts: Mapping[str, Any]
    _: KW_ONLY
    world: World
    every_steps: int | None = None
    every_minutes: float | None = None
    seed: int | None = None
    device: torch.device = HOST
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        given = {name: part for name, part in self.parts.items() if part is not None}
        self.parts = {"progress": self.progress, **given}
        self._saved_at = 0.0  # seconds of training

    def is_due(self) -> bool:
        """At the end of an epoch, and every so many steps and minutes."""
        progress = self.progress
        if progress.ends_epoch or (self.every_steps and progress.step % self.every_steps == 0):
            return True
        minutes = (progress.seconds - self._saved_at) / 60
        return self.every_minutes is not None and minutes >= self.every_minutes

    def save(self) -> None:
        """Write the state; process 0 does it for all.

        Raises:
            UserError: a weight is NaN or infinite: the last state stays.
        """
        learnt = [each for each in self.parts["model"].parameters() if each.requires_grad]
        # Asked once for all: each answer would make the host wait.
        if not torch.stack([weights.isfinite().all() for weights in learnt]).all():
            raise diverged("weight", math.nan, self.progress.step)
        self._saved_at = self.progress.seconds
        if self.run is None:
            return
        generators = self.world.gather(random_state(self.device))
        if self.world.rank == 0:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            self.run.save_training_state(to_host({**state, "generators": generators}))

    def restore(self) -> bool:
        """Put the parts where the run's last state has them; False if there is none yet.

        Raises:
            UserError: the state is damaged, or not of these parts.
        """
        if self.run is None or (state := self.run.load_training_state()) is None:
            self._seed(0)
            return False
        where = self.run.path / "training.pt"
        try:
            check_same_architecture(where, state["model"], self.parts["model"])
            generators = state.pop("generators")
            state = self._on_device(state)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{where} does not fit this training ({error}). Resume with the settings that "
                "the run was started with, or start another run."
            ) from None
        self._saved_at = self.progress.seconds
        step = self.progress.step
        if len(generators) != self.world.size:
            self._seed(step)  # exact with as many processes as before; with others, as good
        elif not restore_random_state(generators[self.world.rank], self.device):
            if self.seed is not None:
                seed_generator(self.device, self.seed + step + self.world.rank)
            self.say(
                f"{where} was not saved on {self.device}: random numbers are drawn otherwise from "
                "here on than in a training that was never interrupted"
            )
        return True

    def _on_device(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state on the device of the training, in a fixed number of transfers."""
        if not is_gpu(self.device):
            return state
        optimizer = state.pop("optimizer", {})
        # Unless it is fused, an optimiser counts its steps on the host, in scalars.
        groups = optimizer.get("param_groups", ())
        scalars = any(group.get("fused") or group.get("capturable") for group in groups)
        optimizer = moved(optimizer, self.device, scalars=scalars)
        return moved(state, self.device) | {"optimizer": optimizer}

    def _seed(self, step: int) -> None:
        if self.seed is not None:
            seed_everything(self.seed + step + self.world.rank)
