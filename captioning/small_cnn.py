"""A small convolutional network: images to a grid of features, trained from scratch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SmallCNN(nn.Module):
    """A small network for small images, such as the generated scenes; trained from scratch.

    It has two streams: one learns shapes from the brightness in full detail, one sees the colours in
    coarse blocks. So a shape is recognised in a colour that it never had in training: the stream of
    shapes does not see colours. Every region also has its coordinates (CoordConv, Liu et al. 2018),
    without which a convolution cannot distinguish left from right, and the layout of the whole image
    (how much there is of some learnt maps, and where their centres are), without which a decoder that
    attends to one region at a time can neither count nor compare places.

    The stream of shapes ends in a residual block with a bottleneck of 32 channels (He et al. 2016,
    figure 5).

    Args:
        feature_size: channels of the grid: a fifth for the colours, a fifth for the layout, two
            coordinates, the rest for the shapes.
    """

    def __init__(self, feature_size: int = 160) -> None:
        super().__init__()
        self.feature_size = feature_size
        part = feature_size // 5
        shapes = feature_size - 2 * part - 2
        # Few channels where the resolution is high: most of the time would be spent there.
        self.reduce = nn.Sequential(
            _convolution(1, 16, stride=2),
            _convolution(16, 32, stride=2),
            _convolution(32, shapes, stride=2),
        )
        block = nn.Sequential(_convolution(shapes + 2, 32, size=1), _convolution(32, shapes))
        self.blocks = nn.ModuleList([block])  # a list, so that weights of earlier versions load
        self.mix = _convolution(shapes + 2, shapes, size=1)
        self.colours = nn.Sequential(
            _convolution(3, part, stride=2), _convolution(part, part, size=1)
        )
        self.maps = nn.Conv2d(shapes, 16, 1)
        self.layout = nn.Linear(3 * 16, part)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) floating point -> (B, S, C) for S = height/8 * width/8 regions."""
        images = images.contiguous(memory_format=torch.channels_last)
        shapes = self.reduce(images.mean(1, keepdim=True))
        places = _coordinates(shapes)
        shapes = shapes + self.blocks[0](torch.cat([shapes, places], 1))
        shapes = self.mix(torch.cat([shapes, places], 1))
        blocks = F.interpolate(images, size=[2 * side for side in shapes.shape[2:]], mode="area")
        layout = self.layout(_moments(self.maps(shapes).relu()))
        layout = layout[:, :, None, None].expand(-1, -1, *shapes.shape[2:])
        grid = torch.cat([shapes, self.colours(blocks), places, layout.relu()], 1)
        return grid.flatten(2).transpose(1, 2)  # (B, C, rows, columns) -> (B, S, C)


def _convolution(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        # Low momentum: a batch has few images, each with several captions.
        nn.BatchNorm2d(outputs, momentum=0.02),
        nn.ReLU(inplace=True),
    )


def _moments(maps: Tensor) -> Tensor:
    """How much there is of each map, and where: (B, K, rows, columns) -> (B, 3 K).

    The sums of a map, of the map times x, and of the map times y, over the square root of the number
    of regions.
    """
    regions = maps.shape[2] * maps.shape[3]
    places = _coordinates(maps[:1])[0].flatten(1)  # (2, S)
    weights = torch.cat([places, torch.ones_like(places[:1])])  # (3, S)
    return torch.einsum("bks,cs->bkc", maps.flatten(2), weights).flatten(1) / math.sqrt(regions)


def _coordinates(grid: Tensor) -> Tensor:
    """The place of each region of a grid, from -1 to 1: (B, 2, rows, columns)."""
    batch, _, rows, columns = grid.shape
    y = torch.linspace(-1, 1, rows, device=grid.device, dtype=grid.dtype)
    x = torch.linspace(-1, 1, columns, device=grid.device, dtype=grid.dtype)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(batch, -1, -1, -1)
