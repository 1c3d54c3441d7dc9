"""Encoders of images: from pixels, or features computed before, to the context of a decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captioning.backbone import Backbone
from captioning.small_cnn import SmallCNN
from captioning.transform import ImageTransform
from common.decoding.context import Context
from common.recurrent.dropout import Dropout


class ImageEncoder(nn.Module):
    """From images, or from features computed before, to the context of a decoder.

    Args:
        cnn: computes the grid from images; None if only features are given.
        feature_size: features of a region; that of `cnn` by default.
        attention: whether the context has the grid as memory, for attention to read.
        vector_size: features that the pooled vector is projected to, with a ReLU; 0: no projection.
        memory_size: features that each region is projected to, with a ReLU; 0: no projection.
        normalize: layer-normalise the features of each region (Ba et al. 2016) before anything else.
        dropout: probability of dropping a feature in training, before the projections.
        transform: normalises uint8 images; as ImageNet's weights expect by default.

    Attributes:
        context_size: features of the context's vector.
        memory_size: features of a region of the context's memory; None without attention.

    Raises:
        ValueError: neither a cnn nor a feature size, or two that differ.
    """

    def __init__(
        self,
        cnn: Backbone | SmallCNN | None = None,
        *,
        feature_size: int | None = None,
        attention: bool = True,
        vector_size: int = 0,
        memory_size: int = 0,
        normalize: bool = False,
        dropout: float = 0.0,
        transform: ImageTransform | None = None,
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
        self.vector_projection = _projection(size, vector_size)
        self.memory_projection = _projection(size, memory_size if attention else 0)
        self.normalize = nn.LayerNorm(size) if normalize else nn.Identity()
        self.dropout = Dropout(dropout)
        self.transform = ImageTransform() if transform is None else transform

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights; float32 where there are none."""
        return next((parameter.dtype for parameter in self.parameters()), torch.float32)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Context:
        """Encode images (four dimensions) or features (two or three).

        Args:
            inputs: (B, 3, height, width) images, uint8 or floating point and normalised; or features
                of any floating-point type: (B, S, C) regions, (B, C) pooled vectors.
            mask: (B, S) True at regions, of which each input has at least one, False at padding,
                whose values affect nothing; None: no padding.

        Raises:
            ValueError: images without a cnn, another number of features, or pooled vectors for a
                decoder with attention.
        """
        features = self._grid(inputs) if inputs.ndim == 4 else inputs
        if features.ndim not in (2, 3) or features.shape[-1] != self.feature_size:
            shape = tuple(features.shape)
            raise ValueError(f"features are (B, S, {self.feature_size}) or pooled, not {shape}")
        if self.attention and features.ndim == 2:
            raise ValueError("attention reads the grid (B, S, C), but the features are pooled")
        features = self.normalize(features.to(self.dtype))  # float16 of the cache: exact
        if mask is not None:
            features = features.masked_fill(~mask.unsqueeze(2), 0)
            pooled = features.sum(1) / mask.sum(1, keepdim=True)
        else:
            pooled = features.mean(1) if features.ndim == 3 else features
        vector = self.vector_projection(self.dropout(pooled))  # (B, C')
        if not self.attention:
            return Context(vector)
        return Context(vector, self.memory_projection(self.dropout(features)), mask)

    def _grid(self, images: Tensor) -> Tensor:
        if self.cnn is None:
            raise ValueError("this encoder has no cnn: it takes features, not images")
        if images.dtype == torch.uint8:
            images = self.transform.normalize(images).to(self.dtype)
        return self.cnn(images)


def _projection(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU()) if outputs else nn.Identity()
