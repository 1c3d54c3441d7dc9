"""Several models that are trained at once: to be compared, or each on other data."""

from __future__ import annotations

from collections.abc import Mapping
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

    def clip_each(self, optimizer: torch.optim.Optimizer, norms: Mapping[str, float]) -> None:
        """Before every step of an optimiser, scale the gradient of each model down by itself.

        The training is to have no limit of its own, which is on the gradient of all models together: the
        largest would decide how much the others learn.

        Args:
            optimizer: of these models.
            norms: the largest norm of the gradient of each model, by its name; 0 for no limit.
        """

        def clip(*_: object) -> None:
            for name, model in self.by_name.items():
                if norms[name]:
                    nn.utils.clip_grad_norm_(model.parameters(), norms[name])

        optimizer.register_step_pre_hook(clip)

    @property
    def by_name(self) -> dict[str, Any]:
        """The models, as they were given."""
        return dict(self.models)
