"""Encoders of images: from pixels, or features computed before, to the context of a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from captioning.backbone import Backbone
from captioning.small_cnn import SmallCNN
from captioning.transform import IMAGENET_MEAN, IMAGENET_STD
from common.decoding.context import Context
from common.recurrent.dropout import Dropout

Activation: TypeAlias = Literal["relu", "tanh", "none"]


class ImageEncoder(nn.Module):
    """From images, or from their cached features, to the context of a decoder.

    Args:
        cnn: computes the grid from images; None if only cached features are given.
        feature_size: features of a cached region; that of `cnn` by default.
        attention: whether the grid is handed on as memory, for attention to read.
        vector_size: features that the pooled vector is projected to; 0 leaves it as it is.
        memory_size: features that each region is projected to; 0 leaves them as they are.
        activation: after each projection.
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
        self.vector_projection = _projection(size, vector_size, activation)
        projected = memory_size if attention else 0
        self.memory_projection = _projection(size, projected, activation)
        self.normalize = nn.LayerNorm(size) if normalize else nn.Identity()
        self.dropout = Dropout(dropout)
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


def _projection(inputs: int, outputs: int, activation: Activation) -> nn.Module:
    """Identity where no size is asked for."""
    if not outputs:
        return nn.Identity()
    layers: list[nn.Module] = [nn.Linear(inputs, outputs)]
    if activation != "none":
        layers.append(nn.ReLU() if activation == "relu" else nn.Tanh())
    return nn.Sequential(*layers)
