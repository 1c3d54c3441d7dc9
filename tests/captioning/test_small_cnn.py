"""The small network: all of it learns, and its pooled vector knows where things are."""

from __future__ import annotations

import torch
from torch import nn

from captioning.small_cnn import SmallCNN
from tests.captioning.networks import pictures


def test_small_cnn_gives_a_grid_and_learns_all_of_it() -> None:
    cnn = SmallCNN(feature_size=32)
    grid = cnn(pictures(2, 64))
    assert grid.shape == (2, 64, 32)
    grid.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in cnn.parameters())
    assert cnn(pictures(1, 50)).shape == (1, 49, 32)


def test_small_cnn_learns_left_from_right_in_its_pooled_vector() -> None:
    """Red left of blue, or right of it: the mean over a grid without coordinates cannot tell."""
    generator = torch.Generator().manual_seed(0)
    count, size = 128, 32
    images = torch.zeros(count, 3, size, size)
    labels = torch.randint(2, (count,), generator=generator)
    for image, label in zip(images, labels, strict=True):
        rows = torch.randint(2, size - 8, (2,), generator=generator).tolist()
        columns = sorted(torch.randperm(size - 8, generator=generator)[:2].tolist())
        if columns[1] - columns[0] < 8:
            columns = [columns[0] // 3, 22]
        for colour, column in zip((0, 2) if label else (2, 0), columns, strict=True):
            image[colour, rows[colour // 2] : rows[colour // 2] + 6, column : column + 6] = 1
    cnn, readout = SmallCNN(feature_size=32), nn.Linear(32, 2)
    optimizer = torch.optim.Adam([*cnn.parameters(), *readout.parameters()], lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(readout(cnn(images).mean(1)), labels)
        loss.backward()
        optimizer.step()
    assert (readout(cnn(images).mean(1)).argmax(1) == labels).float().mean() > 0.98
