"""The state of a training on disk, from which it goes on exactly as if it had never stopped."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import UserError
from common.training.distributed import World
from common.training.weights import check_same_architecture

if TYPE_CHECKING:
    from common.run import Run


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """The state of every random generator, of plain values and tensors."""
    version, words, python_gauss = random.getstate()
    algorithm, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    words_of_numpy = torch.from_numpy(np.asarray(keys, np.int64))
    return {
        "python": (version, torch.tensor(words), python_gauss),
        "numpy": (algorithm, words_of_numpy, position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put every random generator back to where `random_state` found it."""
    version, words, python_gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), python_gauss))
    algorithm, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


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
    """

    def __init__(
        self,
        run: Run | None,
        parts: Mapping[str, Stateful | None],
        *,
        world: World,
        seed: int | None = None,
    ) -> None:
        self.run = run
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.world = world
        self.seed = seed

    def save(self) -> None:
        """Write the state; process 0 does it for all."""
        if self.run is None:
            return
        generators = self.world.gather(random_state())
        if self.world.rank == 0:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            self.run.save_training_state({**state, "generators": generators})

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
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            generators = state["generators"]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{where} does not fit this training ({error}). Resume with the settings that "
                "the run was started with, or start another run."
            ) from None
        if len(generators) == self.world.size:
            restore_random_state(generators[self.world.rank])
        else:  # exact with as many processes as before; with others, as good
            self._seed(state["progress"]["step"])
        return True

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
            weights = model.state_dict()
            self._weights = {name: tensor.cpu().clone() for name, tensor in weights.items()}

    def load(self, model: nn.Module) -> None:
        """Put the weights that were kept into `model`."""
        if self.run is not None:
            self.run.load_model(model)
        else:
            model.load_state_dict(self._weights)
