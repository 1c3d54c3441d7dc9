"""The state of a training on disk, from which it goes on exactly as if it had never stopped."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from common.compute.device import (
    generator_state,
    is_gpu,
    moved,
    seed_generator,
    set_generator_state,
    to_host,
)
from common.errors import UserError
from common.runs.weights import check_same_architecture, load_state_dict
from common.training.distributed import World

if TYPE_CHECKING:
    from common.runs.run import Run

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
    version, words, python_gauss = random.getstate()
    algorithm, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    words_of_numpy = torch.from_numpy(np.asarray(keys, np.int64))
    return {
        "python": (version, torch.tensor(words), python_gauss),
        "numpy": (algorithm, words_of_numpy, position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "device": generator_state(device),
    }


def restore_random_state(state: dict[str, Any], device: torch.device = HOST) -> bool:
    """Put every random generator back to where `random_state` found it.

    Returns:
        Whether the device's own generator is among them: False if the state is of a training on
        another kind of device.
    """
    version, words, python_gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), python_gauss))
    algorithm, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if "device" in state:
        return set_generator_state(device, state["device"])
    # A state of an earlier version has the generators of all GPUs, in their order.
    of_gpus = state["cuda"] if device.type == "cuda" else []
    index = device.index or 0
    return set_generator_state(device, of_gpus[index] if index < len(of_gpus) else None)


class Stateful(Protocol):
    """A part of a training: all that is asked of optimisers, schedules and the rest."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class Checkpoint:
    """Saves the parts of a training, and the random generators, in its run; and restores them.

    Args:
        run: the folder; None saves nothing.
        parts: the parts by name, the model as "model"; None for one that this training has not.
        world: the processes that train together: the state of the generators of each is kept.
        seed: seeds the generators where the run has no state yet; None leaves them.
        device: that of the training, whose own generator is kept with the others.
        say: told in one line what of a state cannot be restored here.
    """

    def __init__(
        self,
        run: Run | None,
        parts: Mapping[str, Stateful | None],
        *,
        world: World,
        seed: int | None = None,
        device: torch.device = HOST,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.run = run
        self.device = device
        self.say = say
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.world = world
        self.seed = seed

    def save(self) -> None:
        """Write the state; process 0 does it for all."""
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
        state = None if self.run is None else self.run.load_training_state()
        if self.run is None or state is None:
            self._seed(0)
            return False
        where = self.run.path / "training.pt"
        try:
            check_same_architecture(where, state["model"], self.parts["model"])  # type: ignore
            generators = state.pop("generators")
            state = self._on_device(state)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{where} does not fit this training ({error}). Resume with the settings that "
                "the run was started with, or start another run."
            ) from None
        step = state["progress"]["step"]
        if len(generators) != self.world.size:
            self._seed(step)  # exact with as many processes as before; with others, as good
        elif not restore_random_state(generators[self.world.rank], self.device):
            if self.seed is not None:
                seed_generator(self.device, self.seed + step + self.world.rank)
            if self.say is not None:
                self.say(
                    f"{where} was not saved on {self.device}: random numbers are drawn otherwise "
                    "from here on than in a training that was never interrupted"
                )
        return True

    def _on_device(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state on the device of the training, in a fixed number of transfers."""
        if not is_gpu(self.device):
            return state
        others = {name: part for name, part in state.items() if name != "optimizer"}
        optimizer = state.get("optimizer", {})
        # Unless it is fused, an optimiser counts its steps on the host, in scalars.
        groups = optimizer.get("param_groups", ())
        scalars = any(group.get("fused") or group.get("capturable") for group in groups)
        optimizer = moved(optimizer, self.device, scalars=scalars)
        return moved(others, self.device) | {"optimizer": optimizer}

    def _seed(self, step: int) -> None:
        if self.seed is not None:
            seed_everything(self.seed + step + self.world.rank)


class BestWeights:
    """Keeps the weights of the best validation so far: in the run, or in memory without one.

    Args:
        run: the folder.
        monitor: the metric that tells what is best; None: the newest is.
        mode: whether "max" or "min" of it is best.
    """

    def __init__(self, run: Run | None, monitor: str | None, mode: Literal["max", "min"]) -> None:
        self.run = run
        self.monitor = monitor
        self.mode = mode
        self._weights: dict[str, Tensor] = {}

    def improves(self, metrics: dict[str, float], best: dict[str, float]) -> bool:
        """Are `metrics` better than `best`, which is empty at first? NaN is never better."""
        if self.monitor is None:
            return True
        if self.monitor not in metrics:
            known = ", ".join(metrics) or "nothing"
            raise ValueError(f"validation gave {known}, not {self.monitor}, which is monitored")
        value, before = metrics[self.monitor], best.get(self.monitor)
        if math.isnan(value):
            return False
        return before is None or (value > before if self.mode == "max" else value < before)

    def keep(self, model: nn.Module) -> None:
        """Keep the present weights of `model`."""
        if self.run is not None:
            self.run.save_model(model)
        else:
            self._weights = copy.deepcopy(to_host(model.state_dict()))

    def load(self, model: nn.Module) -> None:
        """Put the weights that were kept into `model`."""
        if self.run is not None:
            self.run.load_model(model)
        else:
            load_state_dict(model, self._weights)
