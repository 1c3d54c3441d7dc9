"""Encoders of images: from pixels, or features computed before, to the context of a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.backbone import Backbone
from captioning.transform import IMAGENET_MEAN, IMAGENET_STD
from common.decoding.context import Context

__all__ = ["Activation", "Backbone", "ImageEncoder", "SmallCNN"]

Activation: TypeAlias = Literal["relu", "tanh", "none"]


class SmallCNN(nn.Module):
    """A small network for small pictures, such as the generated scenes; learnt from scratch.

    Two streams see the picture: one its brightness in full detail, from which it learns shapes, one
    its colours in coarse blocks. So a shape is known in a colour that it never had in training: what
    tells the shape does not see the colour. Every region also gets its own coordinates (CoordConv,
    Liu et al. 2018), without which a convolution cannot tell left from right, and the layout of the
    whole picture, without which a decoder that looks at one region at a time cannot count.

    Args:
        feature_size: channels of the grid: a fifth of the colours, a fifth of the layout, two
            coordinates, the rest of the shapes.
        blocks: residual blocks of the shape stream at the final resolution.
    """

    def __init__(self, feature_size: int = 160, blocks: int = 1) -> None:
        super().__init__()
        self.feature_size = feature_size
        part = feature_size // 5
        shapes = feature_size - 2 * part - 2
        widths = (1, shapes // 4, shapes // 2, shapes)
        self.reduce = nn.Sequential(
            *(
                _convolution(before, after, stride=2)
                for before, after in zip(widths[:-1], widths[1:], strict=True)
            )
        )
        self.blocks = nn.ModuleList(_convolution(shapes + 2, shapes) for _ in range(blocks))
        self.mix = _convolution(shapes + 2, shapes, size=1)
        self.colours = nn.Sequential(
            _convolution(3, part, stride=2), _convolution(part, part, size=1)
        )
        self.layout = nn.Sequential(
            nn.Conv2d(shapes, 16, 1), nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(1024, part)
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) floating point -> (B, S, C) for S = height/8 * width/8 regions."""
        images = images.contiguous(memory_format=torch.channels_last)
        shapes = self.reduce(images.mean(1, keepdim=True))
        places = _coordinates(shapes)
        for block in self.blocks:
            shapes = shapes + block(torch.cat([shapes, places], 1))
        shapes = self.mix(torch.cat([shapes, places], 1))
        blocks = F.interpolate(images, size=[2 * side for side in shapes.shape[2:]], mode="area")
        layout = self.layout(shapes)[:, :, None, None].expand(-1, -1, *shapes.shape[2:])
        grid = torch.cat([shapes, self.colours(blocks), places, layout.relu()], 1)
        return grid.flatten(2).transpose(1, 2)  # (B, C, rows, columns) -> (B, S, C)

    def grid_size(self, image_size: int) -> tuple[int, int]:
        """Rows and columns of the grid for square images of so many pixels per side."""
        side = -(-image_size // 8)
        return side, side


class ImageEncoder(nn.Module):
    """From images, or from their cached features, to the context of a decoder.

    Args:
        cnn: computes the grid from images; None if only cached features are given.
        feature_size: features of a cached region; that of `cnn` by default.
        attention: whether the grid is handed on as memory, for attention to read.
        vector_size: features that the pooled vector is projected to; 0 leaves it as it is.
        memory_size: features that each region is projected to; 0 leaves them as they are.
        activation: after each projection.
        layer_norm: normalise each projection before its activation (Ba et al. 2016).
        normalize: normalise the features of each region (Ba et al. 2016) before anything else.
        dropout: share of these features that are dropped while training, before the projections.
        mean: of red, green and blue, in 0..1; subtracted from uint8 images.
        std: of red, green and blue, in 0..1; divided by.

    Attributes:
        context_size: features of the context's vector.
        memory_size: features of a region of the context's memory; None without attention.

    Raises:
        ValueError: neither a cnn nor a feature size, or two that differ.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        cnn: Backbone | SmallCNN | None = None,
        *,
        feature_size: int | None = None,
        attention: bool = True,
        vector_size: int = 0,
        memory_size: int = 0,
        activation: Activation = "relu",
        layer_norm: bool = False,
        normalize: bool = False,
        dropout: float = 0.0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if cnn is not None and feature_size not in (None, cnn.feature_size):
            raise ValueError(f"the cnn has {cnn.feature_size} features, not {feature_size}")
        size = feature_size if cnn is None else cnn.feature_size
        if size is None:
            raise ValueError("without a cnn, the features need a size")
        self.cnn = cnn
        self.feature_size = size
        self.attention = attention
        self.context_size = vector_size or size
        self.memory_size = (memory_size or size) if attention else None
        self.vector_projection = _projection(size, vector_size, activation, layer_norm)
        projected = memory_size if attention else 0
        self.memory_projection = _projection(size, projected, activation, layer_norm)
        self.normalize = nn.LayerNorm(size) if normalize else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        # A matter of the transform, which is stored with a run anyway: not of the weights.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, inputs: Tensor) -> Context:
        """Encode images or features; which of them is told by the number of dimensions.

        Args:
            inputs: (B, 3, height, width) images; or features: (B, S, C) grids, (B, C) pooled.
        """
        return self.encode_images(inputs) if inputs.ndim == 4 else self.encode_features(inputs)

    def encode_images(self, images: Tensor) -> Context:
        """Encode images.

        Args:
            images: (B, 3, height, width) uint8, normalised here, or floating point, normalised.

        Raises:
            ValueError: the encoder has no cnn.
        """
        if self.cnn is None:
            raise ValueError("this encoder has no cnn: it takes features, not images")
        if images.dtype == torch.uint8:
            images = (images.float() / 255 - self.mean) / self.std
        return self.encode_features(self.cnn(images))

    def encode_features(self, features: Tensor) -> Context:
        """Encode what the cnn gave.

        Args:
            features: (B, S, C) grids, or (B, C) pooled vectors; of any floating-point type.

        Raises:
            ValueError: another number of features, or pooled vectors for a decoder with attention.
        """
        if features.ndim not in (2, 3) or features.shape[-1] != self.feature_size:
            shape = tuple(features.shape)
            raise ValueError(f"features are (B, S, {self.feature_size}) or pooled, not {shape}")
        if self.attention and features.ndim == 2:
            raise ValueError("attention reads the grid (B, S, C), but the features are pooled")
        features = self.normalize(features.to(self.mean.dtype))  # fp16 of the cache: exact
        pooled = features.mean(1) if features.ndim == 3 else features
        vector = self.vector_projection(self.dropout(pooled))  # (B, C')
        memory = self.memory_projection(self.dropout(features)) if self.attention else None
        return Context(vector, memory)


def _convolution(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        # Slow statistics: a batch holds few images, each with several captions.
        nn.BatchNorm2d(outputs, momentum=0.02),
        nn.ReLU(inplace=True),
    )


def _coordinates(grid: Tensor) -> Tensor:
    """Where each region of a grid lies, from -1 to 1: (B, 2, rows, columns)."""
    batch, _, rows, columns = grid.shape
    y = torch.linspace(-1, 1, rows, device=grid.device, dtype=grid.dtype)
    x = torch.linspace(-1, 1, columns, device=grid.device, dtype=grid.dtype)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(batch, -1, -1, -1)


def _projection(inputs: int, outputs: int, activation: Activation, norm: bool) -> nn.Module:
    """Identity where no size is asked for."""
    if not outputs:
        return nn.Identity()
    layers: list[nn.Module] = [nn.Linear(inputs, outputs)]
    if norm:
        layers.append(nn.LayerNorm(outputs))
    if activation != "none":
        layers.append(nn.ReLU() if activation == "relu" else nn.Tanh())
    return nn.Sequential(*layers)
