"""The networks of torchvision as encoders of images: pixels to a grid of features."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import DenseNet, GoogLeNet, Inception3

from captioning.networks import headless_network
from common.compute.device import to_host
from common.errors import UserError, one_line

# Children that are a sequence of the stages proper.
_SEQUENCES = frozenset(["features", "layers", "trunk_output", "blocks"])
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Backbone(nn.Module):
    """A classification network of torchvision without its head: images to a grid of features.

    The mean over the grid is the pooled vector. It equals the one that torchvision's own classifier
    sees, except for those whose classifier looks at the whole grid (alexnet, vgg*, squeezenet*);
    convnext* and maxvit* normalise it once more. Parameters keep torchvision's names.

    Args:
        name: of the network, as torchvision knows it: resnet50, mobilenet_v2, efficientnet_b0, ...
        weights: "imagenet" (torchvision's best, downloaded by it), one of its weights by name
            (IMAGENET1K_V1), "none" (random), or the path of a state dict (.pth or .safetensors),
            with or without the head.
        fine_tune_from: from where on the network is learnt: the name of a stage, or how many of the
            last stages (those of `stages`). None: all of it is frozen, and in evaluation mode
            whatever `train()` says.
        train_batch_norm: let BatchNorm adapt its statistics where the network is learnt. None: only
            if it starts from random weights, since small batches spoil pretrained statistics.

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
        # DenseNet's last activation stands in its forward and not among its modules.
        self.activation = nn.ReLU() if isinstance(self.network, DenseNet) else nn.Identity()
        self.stages = tuple(step for step in self._steps if _has_parameters(self.network, step))
        self.train_batch_norm = weights == "none" if train_batch_norm is None else train_batch_norm
        self._first_learnt = self._find_stage(fine_tune_from)
        for step in self._steps[: self._first_learnt]:
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
        parameter = next(self.network.parameters())
        x = images.to(parameter.dtype)
        if isinstance(self.network, (GoogLeNet, Inception3)):
            x = self.network._transform_input(x)  # their weights expect a range of their own
        x = x.contiguous(memory_format=torch.channels_last)
        # What is frozen needs no graph, unless someone asks for the gradient of the pixels.
        with torch.set_grad_enabled(torch.is_grad_enabled() and images.requires_grad):
            for step in self._steps[: self._first_learnt]:
                x = self.network.get_submodule(step)(x)
        for step in self._steps[self._first_learnt :]:
            x = self.network.get_submodule(step)(x)
        return self.activation(x).flatten(2).transpose(1, 2)  # (B, C, rows, columns) -> (B, S, C)

    def grid_size(self, image_size: int) -> tuple[int, int]:
        """Rows and columns of the grid for square images of so many pixels per side.

        Raises:
            UserError: the images are too small for the network.
        """
        return self._probe(image_size)[0]

    @property
    def frozen(self) -> bool:
        """Whether no part of the network is learnt."""
        return not any(parameter.requires_grad for parameter in self.parameters())

    @property
    def digest(self) -> str:
        """Sixteen characters that change with the network and with any of its weights."""
        result = hashlib.sha256(self.name.encode())
        for name, tensor in to_host(self.network.state_dict()).items():
            if not name.endswith("num_batches_tracked"):
                values = tensor.detach().contiguous()
                result.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
                result.update(values.reshape(-1).view(torch.uint8).numpy())
        return result.hexdigest()[:16]

    def train(self, mode: bool = True) -> Backbone:
        """Frozen stages, and BatchNorm unless `train_batch_norm`, stay in evaluation mode."""
        super().train(mode)
        for step in self._steps[: self._first_learnt]:
            self.network.get_submodule(step).eval()
        if not self.train_batch_norm:
            for module in self.network.modules():
                if isinstance(module, _BATCH_NORM):
                    module.eval()
        return self

    def inference_copy(self) -> Backbone:
        """A frozen copy that computes the same grid faster: BatchNorm folded into convolutions."""
        result = copy.deepcopy(self)
        for convolution, norm in self._folds():
            before = result.network.get_submodule(convolution).eval()
            after = result.network.get_submodule(norm).eval()
            fused = fuse_conv_bn_eval(before, after)  # type: ignore[type-var, arg-type]
            result.network.set_submodule(convolution, fused)
            result.network.set_submodule(norm, nn.Identity())
        result._first_learnt = len(result._steps)
        result.requires_grad_(False)
        return result.to(memory_format=torch.channels_last).eval()

    def _find_stage(self, fine_tune_from: int | str | None) -> int:
        """Where among the steps the learnt ones begin."""
        if fine_tune_from is None:
            return len(self._steps)
        if isinstance(fine_tune_from, str) and not fine_tune_from.isdigit():
            if fine_tune_from in self._steps:
                return self._steps.index(fine_tune_from)
        elif 0 <= int(fine_tune_from) <= len(self.stages):
            last = self.stages[len(self.stages) - int(fine_tune_from) :]
            return self._steps.index(last[0]) if last else len(self._steps)
        raise UserError(
            f"{self.name} cannot be fine-tuned from {fine_tune_from!r}. Name one of its stages "
            f"({', '.join(self.stages)}), or say how many of the last ones."
        )

    def _probe(self, image_size: int) -> tuple[tuple[int, int], int]:
        """(rows, columns) and channels of the grid, found without computing anything."""
        x = torch.empty(1, 3, image_size, image_size, device="meta")
        network = copy.deepcopy(self.network).to("meta", torch.float32).eval()
        try:
            for step in self._steps:
                x = network.get_submodule(step)(x)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise UserError(
                f"{self.name} cannot take images of {image_size} x {image_size} pixels "
                f"({one_line(error)}). Use another image size: 224 suits every network."
            ) from None
        return (x.shape[2], x.shape[3]), x.shape[1]

    def _folds(self) -> list[tuple[str, str]]:
        """Names of each convolution whose output goes to a BatchNorm, and of that BatchNorm."""
        network = copy.deepcopy(self.network).to("meta", torch.float32).eval()
        outputs: list[tuple[Tensor, str]] = []
        found: list[tuple[str, str]] = []

        def look(name: str, module: nn.Module) -> None:
            def hook(_module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
                if isinstance(module, nn.Conv2d):
                    outputs.append((output, name))
                elif outputs and arguments[0] is outputs[-1][0]:
                    found.append((outputs[-1][1], name))

            module.register_forward_hook(hook)

        for name, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
                look(name, module)
        x = torch.empty(1, 3, 224, 224, device="meta")
        for step in self._steps:
            x = network.get_submodule(step)(x)
        return found


def _steps(network: nn.Module) -> Iterator[str]:
    """Names of the modules that, applied one after the other, make the grid."""
    for name, child in network.named_children():
        if name in _SEQUENCES:
            yield from (f"{name}.{inner}" for inner, _ in child.named_children())
        else:
            yield name


def _has_parameters(network: nn.Module, step: str) -> bool:
    return any(True for _ in network.get_submodule(step).parameters())
