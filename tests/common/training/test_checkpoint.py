from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import UserError
from common.runs.weights import load_weights, read_state, read_weights, save_state, save_weights
from common.training.checkpoint import random_state, restore_random_state, seed_everything


def draw() -> tuple:
    """From every generator, the cached second normal deviate included."""
    return (
        random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(),
        torch.rand(2).tolist(), torch.randn(3).tolist(), np.random.permutation(5).tolist(),
    )  # fmt: skip


def test_generators_go_back_to_where_they_were(tmp_path):
    seed_everything(5)
    draw()
    save_state(tmp_path / "state", {"generators": random_state()})
    expected = draw(), draw()
    seed_everything(6)
    restore_random_state(read_state(tmp_path / "state")["generators"])
    assert (draw(), draw()) == expected


def test_a_seed_sets_all_generators():
    seed_everything(1)
    first = draw()
    seed_everything(2)
    assert draw() != first
    seed_everything(1)
    assert draw() == first


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.output = nn.Linear(3, 5)
        self.output.weight = self.embedding.weight
        self.recurrent = nn.LSTM(3, 3, num_layers=2)
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("view", torch.randn(4, 6).t())


def test_tied_weights_are_written_once_and_tied_again(tmp_path):
    model, other = Tied(), Tied()
    save_weights(tmp_path / "a", model.state_dict())
    weights = read_weights(tmp_path / "a")
    assert weights["embedding.weight"] is weights["output.weight"]
    assert list(weights) == list(model.state_dict()) or set(weights) == set(model.state_dict())
    load_weights(tmp_path / "a", other)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    assert other.output.weight is other.embedding.weight
    untied = Tied()
    untied.output.weight = nn.Parameter(torch.zeros(5, 3))
    load_weights(tmp_path / "a", untied)
    assert torch.equal(untied.output.weight, model.embedding.weight)


def test_views_of_one_storage_are_written_apart(tmp_path):
    """As cuDNN keeps the weights of a recurrent layer."""
    storage = torch.randn(20)
    weights = {"a": storage[:10].view(2, 5), "b": storage[5:15], "c": storage[15:]}
    save_weights(tmp_path / "a", weights)
    for name, tensor in read_weights(tmp_path / "a").items():
        assert torch.equal(tensor, weights[name])


def test_the_same_weights_are_the_same_file(tmp_path):
    model = Tied()
    for name in ("a", "b"):
        save_weights(tmp_path / name, copy.deepcopy(model).state_dict())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_no_tensor_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="extra is not a tensor"):
        save_weights(tmp_path / "a", {"extra": "text"})  # type: ignore[dict-item]
    assert not (tmp_path / "a").exists()


def test_a_missing_file():
    for read in (read_weights, read_state):
        with pytest.raises(UserError, match="nowhere does not exist"):
            read("nowhere")


def test_an_optimiser_there_and_back(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    save_state(tmp_path / "a", optimizer.state_dict())
    other = torch.optim.AdamW(model.parameters())
    other.load_state_dict(read_state(tmp_path / "a"))
    moments = [optimizer.state[p]["exp_avg"] for p in model.parameters()]
    assert all(map(torch.equal, moments, (other.state[p]["exp_avg"] for p in model.parameters())))
