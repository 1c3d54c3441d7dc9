"""Several models that are trained at once: to be compared, or each on other data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from common.training.loss import Loss


class SideBySide(nn.Module):
    """Models that share nothing but the training.

    Args:
        models: by name; each has `loss(batch) -> Loss`.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleDict(models)

    def loss(self, batch: Any) -> Loss:
        """The sum of the models' losses, so that each learns as it would alone.

        Its sums are the loss of each, by its name.

        Args:
            batch: of all models, or a dict with one for each, by its name.
        """
        own = batch if isinstance(batch, dict) else dict.fromkeys(self.models, batch)
        losses = [model.loss(own[name]) for name, model in self.by_name.items()]
        total = torch.stack([loss.value for loss in losses]).sum()
        count = torch.stack([loss.count for loss in losses]).float().mean()
        sums = {n: loss.value.detach() * count for n, loss in zip(own, losses, strict=True)}
        return Loss(total, count, sums)

    def optimizer(
        self,
        make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
        rates: Mapping[str, float],
        clip_norms: Mapping[str, float],
    ) -> torch.optim.Optimizer:
        """An optimiser that trains each model as it would alone, with settings of its own.

        Args:
            make: makes the optimiser of groups of parameters, each with its `lr`.
            rates: the learning rate of each, by its name.
            clip_norms: to which the gradient of each is scaled down, by itself; 0 for no limit. The
                training is to have none: its limit is on the gradient of all models together.
        """
        groups = [{"params": list(m.parameters()), "lr": rates[n]} for n, m in self.by_name.items()]
        made = make(groups)

        def clip(*_: object) -> None:
            for name, model in self.by_name.items():
                if clip_norms[name]:
                    nn.utils.clip_grad_norm_(model.parameters(), clip_norms[name])

        made.register_step_pre_hook(clip)
        return made

    @property
    def by_name(self) -> dict[str, Any]:
        """The models, as they were given."""
        return dict(self.models)
