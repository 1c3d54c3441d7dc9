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
from common.errors import UserError, one_line
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


def check_alike(name: str, saved: Any, own: Any) -> None:
    """Refuse a saved value that is of another type than the training's own, or misses some of it.

    Raises:
        TypeError, KeyError, ValueError: it does; the message names the value.
    """
    number = type(own) in (int, float)
    kind = dict if isinstance(own, dict) else type(own)  # what left a device is no OrderedDict
    usual = isinstance(saved, (int, kind) if number else kind)
    if not usual or (number and math.isfinite(own) and not -1 <= saved < 2**63):
        raise TypeError(f"{name} is {type(own).__name__} here and {type(saved).__name__} there")
    if isinstance(own, torch.Tensor):
        plain = saved.layout == own.layout and not saved.is_meta
        if own.shape != saved.shape or not plain:
            raise ValueError(f"{name} is not a plain tensor of shape {tuple(own.shape)}")
    if isinstance(own, dict):
        for each, value in own.items():
            check_alike(f"{name}.{each}", saved[each], value)
    elif isinstance(own, (list, tuple)) and own:  # an empty one is yet to be filled
        for index, (theirs, value) in enumerate(zip(saved, own, strict=True)):
            check_alike(f"{name}.{index}", theirs, value)


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
            # What an earlier version did not note yet is as in a new training.
            state["progress"] = Progress().state_dict() | state["progress"]
            for name, part in self.parts.items():
                own = part.state_dict()
                if name == "progress" and type(state[name]["reported"]) is int:
                    own["reported"] = 0  # of an earlier version; see `Tracker.rewind`
                check_alike(name, state[name], own)
                part.load_state_dict({each: state[name][each] for each in own})
            self._check_optimizer()
            self._restore_generators(generators)
        except UserError:
            raise
        except Exception as error:  # what torch raises for entries of other types can be anything
            raise UserError(
                f"{where} does not fit this training ({one_line(error)}). Resume with the settings that "
                "the run was started with, or start another run."
            ) from None
        self._saved_at = self.progress.seconds
        return True

    def _check_optimizer(self) -> None:
        """What Adam and AdamW keep of each weight, which a new one does not have yet to compare with."""
        optimizer = self.parts.get("optimizer")
        if isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
            for weight, saved in optimizer.state.items():
                own = {"step": torch.zeros(()), "exp_avg": weight.data, "exp_avg_sq": weight.data}
                check_alike("optimizer.state", saved, own)

    def _restore_generators(self, generators: list[dict[str, Any]]) -> None:
        step = self.progress.step
        if len(generators) != self.world.size:
            self._seed(step)  # exact with as many processes as before; with others, as good
        elif not restore_random_state(generators[self.world.rank], self.device):
            if self.seed is not None:
                seed_generator(self.device, self.seed + step + self.world.rank)
            self.say(
                f"the state was not saved on {self.device}: random numbers are drawn otherwise from "
                "here on than in a training that was never interrupted"
            )

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
