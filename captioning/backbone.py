"""The networks of torchvision as encoders of images: pixels to a grid of features."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator, Sequence

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import DenseNet, GoogLeNet, Inception3

from captioning.networks import headless_network
from common.compute.device import to_host
from common.errors import UserError, one_line

# Children that are a sequence of the stages proper.
_SEQUENCES = frozenset(["features", "layers", "trunk_output", "blocks"])


class Backbone(nn.Module):
    """A classification network of torchvision without its head: images to a grid of features.

    The mean over the grid is the pooled vector. It equals the input of torchvision's own classifier,
    except where that reads the whole grid (alexnet, vgg*, squeezenet*) or normalises the vector once
    more (convnext*, maxvit*). Parameters keep torchvision's names.

    Args:
        name: the network's name in torchvision: resnet50, mobilenet_v2, efficientnet_b0, ...
        weights: "imagenet" (torchvision's best, downloaded by it), one of its weights by name
            (IMAGENET1K_V1), "none" (random), or the path of a state dict (.pth or .safetensors),
            with or without the head.
        fine_tune_from: the first stage that is trained, by name, or the number of last stages (those
            of `stages`). None: the network is frozen, and stays in evaluation mode.
        train_batch_norm: let BatchNorm adapt its statistics where the network is trained. None: only
            if it starts from random weights, since small batches spoil pretrained statistics.

    Attributes:
        stages: names of the modules with parameters that, one after the other, compute the grid.
        feature_size: C, channels of the grid.

    Raises:
        UserError: unknown network, stage or weights; a failed download; weights of another network.
    """

    def __init__(
        self,
        name: str,
        *,
        weights: str | os.PathLike[str] = "none",
        fine_tune_from: int | str | None = None,
        train_batch_norm: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.network = headless_network(name, weights)
        self._steps = tuple(_steps(self.network))
        # DenseNet's last activation is in its forward and not among its modules.
        self.activation = nn.ReLU() if isinstance(self.network, DenseNet) else nn.Identity()
        stages = (s for s in self._steps if [*self.network.get_submodule(s).parameters()])
        self.stages = tuple(stages)
        self.train_batch_norm = weights == "none" if train_batch_norm is None else train_batch_norm
        self._first_trained = self._find_stage(fine_tune_from)
        for step in self._steps[: self._first_trained]:
            self.network.get_submodule(step).requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)
        self.feature_size = self._probe(224)[1]
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        """Compute the grid.

        Args:
            images: (B, 3, height, width) floating point, normalised.

        Returns:
            (B, S, C) for S = rows * columns regions, row by row.
        """
        x = images.to(next(self.network.parameters()).dtype)
        if isinstance(self.network, (GoogLeNet, Inception3)):
            x = self.network._transform_input(x)  # their weights expect a range of their own
        x = x.contiguous(memory_format=torch.channels_last)
        # Frozen steps need no graph, unless the gradient of the pixels is wanted.
        with torch.set_grad_enabled(torch.is_grad_enabled() and images.requires_grad):
            x = _apply(self.network, self._steps[: self._first_trained], x)
        x = _apply(self.network, self._steps[self._first_trained :], x)
        return self.activation(x).flatten(2).transpose(1, 2)  # (B, C, rows, columns) -> (B, S, C)

    def grid_size(self, image_size: int) -> tuple[int, int]:
        """Rows and columns of the grid for square images with this number of pixels per side.

        Raises:
            UserError: the images are too small for the network.
        """
        return self._probe(image_size)[0]

    @property
    def frozen(self) -> bool:
        """Whether no part of the network is trained."""
        return not any(parameter.requires_grad for parameter in self.parameters())

    @property
    def digest(self) -> str:
        """Sixteen characters that change with the network and with any of its weights."""
        state = to_host(self.network.state_dict()).items()
        weights = {n: w.contiguous() for n, w in state if not n.endswith("num_batches_tracked")}
        return hashlib.sha256(self.name.encode() + save(weights)).hexdigest()[:16]

    def train(self, mode: bool = True) -> Backbone:
        """Frozen stages, and BatchNorm unless `train_batch_norm`, stay in evaluation mode."""
        super().train(mode)
        for step in self._steps[: self._first_trained]:
            self.network.get_submodule(step).eval()
        if not self.train_batch_norm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def inference_copy(self) -> Backbone:
        """A frozen copy that computes the same grid faster: BatchNorm folded into convolutions."""
        result = copy.deepcopy(self).eval()
        network = result.network
        for convolution, norm in self._folds():
            pair = network.get_submodule(convolution), network.get_submodule(norm)
            network.set_submodule(convolution, fuse_conv_bn_eval(*pair))  # type: ignore
            network.set_submodule(norm, nn.Identity())
        result._first_trained = len(result._steps)
        return result.requires_grad_(False).to(memory_format=torch.channels_last).eval()

    def _find_stage(self, fine_tune_from: int | str | None) -> int:
        """Index of the first step that is trained."""
        found = {step: index for index, step in enumerate(self._steps)}
        found |= {str(count): found[stage] for count, stage in enumerate(self.stages[::-1], 1)}
        found |= dict.fromkeys(["0", "None"], len(self._steps))
        if str(fine_tune_from) in found:
            return found[str(fine_tune_from)]
        raise UserError(
            f"{self.name} cannot be fine-tuned from {fine_tune_from!r}. Name one of its stages "
            f"({', '.join(self.stages)}), or give the number of last ones."
        )

    def _probe(self, image_size: int) -> tuple[tuple[int, int], int]:
        """(rows, columns) and channels of the grid, found without computing anything."""
        x = torch.empty(1, 3, image_size, image_size, device="meta")
        try:
            x = _apply(self._on_meta(), self._steps, x)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise UserError(
                f"{self.name} cannot take images of {image_size} x {image_size} pixels "
                f"({one_line(error)}). Use another image size: 224 suits every network."
            ) from None
        return (x.shape[2], x.shape[3]), x.shape[1]

    def _on_meta(self) -> nn.Module:
        """The network without values: it computes shapes only."""
        return copy.deepcopy(self.network).to("meta", torch.float32).eval()

    def _folds(self) -> list[tuple[str, str]]:
        """Names of each convolution whose output goes to a BatchNorm, and of that BatchNorm."""
        network = self._on_meta()
        names = {module: name for name, module in network.named_modules()}
        last: tuple[Tensor | None, str] = None, ""  # output and name of the latest convolution
        found: list[tuple[str, str]] = []

        def hook(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            nonlocal last
            if isinstance(module, nn.Conv2d):
                last = output, names[module]
            elif isinstance(module, nn.BatchNorm2d) and arguments[0] is last[0]:
                found.append((last[1], names[module]))

        for module in names:
            module.register_forward_hook(hook)
        _apply(network, self._steps, torch.empty(1, 3, 224, 224, device="meta"))
        return found


def _steps(network: nn.Module) -> Iterator[str]:
    """Names of the modules that, applied one after the other, compute the grid."""
    for name, child in network.named_children():
        if name in _SEQUENCES:
            yield from (f"{name}.{inner}" for inner, _ in child.named_children())
        else:
            yield name


def _apply(network: nn.Module, steps: Sequence[str], x: Tensor) -> Tensor:
    for step in steps:
        x = network.get_submodule(step)(x)
    return x
