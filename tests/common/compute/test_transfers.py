"""What goes between host and device: one transfer for each type, the same numbers, the same memory
formats. The device `meta` stands for a GPU where only the number of transfers counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from common.compute import device as devices
from common.compute.device import is_gpu, moved, to_host, upload
from common.errors import UserError


class Pair(NamedTuple):
    one: Tensor
    other: Tensor


@dataclass(frozen=True)
class Sample:
    values: Tensor
    name: str = "sample"


def test_a_value_that_is_on_the_host_stays_the_same_objects():
    state = {"a": torch.ones(2), "b": [torch.zeros(3), 1, None, "x"], "c": Pair(*torch.ones(2, 2))}
    assert to_host(state) is state
    assert moved(state, "cpu") is state


def test_graphs_are_left_behind():
    weight = nn.Parameter(torch.ones(2))
    found = to_host({"weight": weight, "rest": (weight * 2, 3)})
    assert not found["weight"].requires_grad and found["rest"][0].grad_fn is None
    assert found["rest"][1] == 3 and weight.requires_grad


def test_every_container_keeps_its_type():
    value = {"pair": Pair(torch.ones(1), torch.ones(2)), "list": [Sample(torch.ones(3))], "x": (1,)}
    found = moved(value, "meta")
    assert type(found["pair"]) is Pair and type(found["list"]) is list
    assert found["list"][0].name == "sample" and found["list"][0].values.device.type == "meta"
    assert found["x"] == (1,)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_there_is_one_transfer_for_each_type_of_number(monkeypatch, count):
    transfers = []

    def counted(tensor: Tensor, device: torch.device) -> Tensor:
        transfers.append(tensor)
        return tensor.to(device)

    monkeypatch.setattr(devices, "upload", counted)
    state = [torch.ones(number % 3, 2) for number in range(count)]
    moved({"floats": state, "ints": [torch.ones(2).long()] * count}, "meta")
    assert len(transfers) <= 2


def test_numbers_shapes_and_memory_formats_survive(monkeypatch):
    """Of all that may stand in a state: views, transposed and channels-last tensors, scalars."""
    base = torch.randn(4, 6)
    state = {
        "plain": base,
        "view": base[1:3, ::2],
        "transposed": base.t(),
        "channels last": torch.randn(5, 3, 2, 2).to(memory_format=torch.channels_last),
        "one by one": torch.randn(5, 3, 1, 1).to(memory_format=torch.channels_last),
        "scalar": torch.tensor(3.5),
        "none": torch.empty(0, 3),
        "expanded": torch.ones(1, 3).expand(4, 3),
        "whole numbers": torch.arange(5),
    }
    # As if all of it were elsewhere: what is packed and unpacked again must be the same.
    monkeypatch.setattr(devices, "upload", lambda tensor, device: tensor.clone())
    found = moved(state, "meta")
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor), name
        dense = name not in ("view", "expanded")
        if dense:
            assert found[name].stride() == tensor.stride(), name


def test_tied_tensors_stay_tied():
    weight = torch.ones(3, 2)
    found = moved({"a": weight, "b": weight.view(3, 2)}, "meta")
    assert found["a"] is found["b"]


def test_scalars_can_be_left_where_they_are():
    found = moved([torch.ones(2), torch.tensor(1.0)], "meta", scalars=False)
    assert [tensor.device.type for tensor in found] == ["meta", "cpu"]


def test_a_processor_is_no_gpu_and_pins_nothing():
    device = torch.device("cpu")
    tensor = torch.ones(3)
    assert not is_gpu(device) and upload(tensor, device) is tensor
    assert devices.pinned(tensor, device) is tensor
    assert devices.generator_state(device) is None and devices.peak_memory(device) is None
    assert devices.set_generator_state(device, None)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_lack_of_memory_is_one_line_that_names_the_batch(error):
    with (
        pytest.raises(
            UserError, match="out of memory with a batch of 64: lower --batch-size"
        ) as found,
        devices.naming_batch_size(64),
    ):
        raise error
    assert "\n" not in str(found.value)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), devices.naming_batch_size(64):
        raise RuntimeError("shapes do not fit")
