"""A small convolutional network: pictures to a grid of features, learnt from scratch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SmallCNN(nn.Module):
    """A small network for small pictures, such as the generated scenes; learnt from scratch.

    Two streams see the picture: one its brightness in full detail, from which it learns shapes, one
    its colours in coarse blocks. So a shape is known in a colour that it never had in training: what
    tells the shape does not see the colour. Every region also gets its own coordinates (CoordConv,
    Liu et al. 2018), without which a convolution cannot tell left from right, and the layout of the
    whole picture, how much there is of some learnt maps and where their centres lie, without which a
    decoder that looks at one region at a time can neither count nor compare places.

    Args:
        feature_size: channels of the grid: a fifth of the colours, a fifth of the layout, two
            coordinates, the rest of the shapes.
        blocks: residual blocks of the shape stream at the final resolution, each with a bottleneck
            of 32 channels (He et al. 2016, figure 5).
    """

    def __init__(self, feature_size: int = 160, blocks: int = 1) -> None:
        super().__init__()
        self.feature_size = feature_size
        part = feature_size // 5
        shapes = feature_size - 2 * part - 2
        # Few channels where the pictures are still large: most of the time would be spent there.
        widths = (1, 16, 32, shapes)
        self.reduce = nn.Sequential(
            *(
                _convolution(before, after, stride=2)
                for before, after in zip(widths[:-1], widths[1:], strict=True)
            )
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(_convolution(shapes + 2, 32, size=1), _convolution(32, shapes))
            for _ in range(blocks)
        )
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
        for block in self.blocks:
            shapes = shapes + block(torch.cat([shapes, places], 1))
        shapes = self.mix(torch.cat([shapes, places], 1))
        blocks = F.interpolate(images, size=[2 * side for side in shapes.shape[2:]], mode="area")
        layout = self.layout(_moments(self.maps(shapes).relu()))
        layout = layout[:, :, None, None].expand(-1, -1, *shapes.shape[2:])
        grid = torch.cat([shapes, self.colours(blocks), places, layout.relu()], 1)
        return grid.flatten(2).transpose(1, 2)  # (B, C, rows, columns) -> (B, S, C)

    def grid_size(self, image_size: int) -> tuple[int, int]:
        """Rows and columns of the grid for square images of so many pixels per side."""
        side = -(-image_size // 8)
        return side, side


def _convolution(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        # Slow statistics: a batch holds few images, each with several captions.
        nn.BatchNorm2d(outputs, momentum=0.02),
        nn.ReLU(inplace=True),
    )


def _moments(maps: Tensor) -> Tensor:
    """How much there is of each map, and where: (B, K, rows, columns) -> (B, 3 K).

    They are the sums of a map, of the map times x, and of the map times y, over the square root of
    the number of regions.
    """
    regions = maps.shape[2] * maps.shape[3]
    places = _coordinates(maps[:1])[0].flatten(1)  # (2, S)
    weights = torch.cat([places, torch.ones_like(places[:1])])  # (3, S)
    return torch.einsum("bks,cs->bkc", maps.flatten(2), weights).flatten(1) / math.sqrt(regions)


def _coordinates(grid: Tensor) -> Tensor:
    """Where each region of a grid lies, from -1 to 1: (B, 2, rows, columns)."""
    batch, _, rows, columns = grid.shape
    y = torch.linspace(-1, 1, rows, device=grid.device, dtype=grid.dtype)
    x = torch.linspace(-1, 1, columns, device=grid.device, dtype=grid.dtype)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(batch, -1, -1, -1)
