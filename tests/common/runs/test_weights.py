"""Weights and training states on disk: a flipped bit, other types and other sizes are noticed."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from common.errors import UserError
from common.runs.weights import (
    build_to_fit,
    load_weights,
    read_state,
    read_weights,
    save_state,
    save_weights,
)  # fmt: skip


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def written_weights(path: Path) -> None:
    save_weights(path, {"a": torch.randn(5, 7), "b": torch.arange(6)})


def written_state(path: Path) -> None:
    save_state(path, {"model": {"a": torch.randn(5, 7)}, "step": 3})


@pytest.mark.parametrize(
    "write, read", [(written_weights, read_weights), (written_state, read_state)]
)
def test_a_flipped_bit_anywhere_is_noticed(tmp_path, write, read):
    path = tmp_path / "file"
    write(path)
    whole, chance = path.read_bytes(), random.Random(0)
    every = range(8 * len(whole))
    for bit in [*every[:80], *every[-200:], *chance.sample(every, 400)]:
        path.write_bytes(flipped(whole, bit))
        with pytest.raises(UserError, match=rf"\A{path} is damaged[^\n]*\Z"):
            read(path)
    path.write_bytes(whole)
    read(path)


def test_weights_stay_a_file_that_other_tools_read(tmp_path):
    weights = {"a": torch.randn(5, 7), "b": torch.arange(6, dtype=torch.int16)}
    save_weights(tmp_path / "a", weights)
    read = safetensors.torch.load_file(tmp_path / "a")
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], each) for name, each in weights.items())


def test_files_without_a_checksum_are_read(tmp_path):
    """Those of earlier versions, and of other tools."""
    for metadata in (None, {"tied": "{}"}, {"format": "pt"}):
        safetensors.torch.save_file({"a": torch.ones(3)}, tmp_path / "a", metadata=metadata)
        assert read_weights(tmp_path / "a")["a"].sum() == 3
    torch.save({"step": 3}, tmp_path / "b")
    assert read_state(tmp_path / "b") == {"step": 3}


@pytest.mark.parametrize(
    "tied", [[1], 3, None, {"a": [1]}, {"a": {"b": "c"}}, {"a": "nowhere"}, "[" * 100_000], ids=str
)
def test_ties_of_other_types_are_damage(tmp_path, tied):
    text = tied if isinstance(tied, str) else json.dumps(tied)
    safetensors.torch.save_file({"b": torch.ones(3)}, tmp_path / "a", metadata={"tied": text})
    with pytest.raises(UserError, match="a is damaged, or holds no weights"):
        read_weights(tmp_path / "a")


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, wrong):
    model, other = nn.GRU(3, 4), nn.GRU(3, 4)
    before = [each.clone() for each in other.parameters()]
    with torch.no_grad():
        model.weight_hh_l0[2, 1] = wrong
    save_weights(tmp_path / "a", model.state_dict())
    with pytest.raises(UserError, match="a: weight_hh_l0 is not finite"):
        load_weights(tmp_path / "a", other)
    assert all(map(torch.equal, before, other.parameters()))


def test_a_buffer_may_be_infinite(tmp_path):
    """As the mask of an attention."""
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    save_weights(tmp_path / "a", model.state_dict())
    load_weights(tmp_path / "a", model)


@pytest.mark.parametrize("other", [{"num_layers": 100}, {"hidden_size": 60_000}], ids=str)
def test_a_network_of_another_size_is_refused_before_it_is_built(tmp_path, other):
    save_weights(tmp_path / "a", nn.LSTM(3, 4).state_dict())
    devices: list[torch.device] = []

    def build() -> nn.Module:
        devices.append(torch.empty(0).device)
        return nn.LSTM(**{"input_size": 3, "hidden_size": 4, **other})

    start = time.perf_counter()
    with pytest.raises(UserError, match="a is a checkpoint of another architecture"):
        build_to_fit(tmp_path / "a", build)
    assert [device.type for device in devices] == ["meta"]  # 58 GB, if it were the host
    assert time.perf_counter() - start < 10


def test_a_network_that_fits_is_built_where_it_belongs(tmp_path):
    model = nn.LSTM(3, 4)
    model.tied = model.weight_hh_l0
    save_weights(tmp_path / "a", model.state_dict())

    def build() -> nn.Module:
        built = nn.LSTM(3, 4)
        built.tied = built.weight_hh_l0
        return built

    built = build_to_fit(tmp_path / "a", build)
    load_weights(tmp_path / "a", built)
    tensors: list[Tensor] = list(built.parameters())
    assert all(map(torch.equal, tensors, model.parameters()))
