"""The pretended GPU refuses what a GPU refuses, and sees what a GPU would be waited for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from common.compute.device import (
    choose_device,
    generator_state,
    is_gpu,
    pinned,
    set_generator_state,
    upload,
)
from common.errors import UserError
from tests.gpu import pretended


def test_it_is_named_like_any_device(device):
    assert choose_device(str(device)) == device
    assert choose_device("auto").type == device.type
    assert is_gpu(device) and not is_gpu(torch.device("cpu"))
    with pytest.raises(UserError, match="--device warp: PyTorch knows no such device"):
        choose_device("warp")


def test_tensors_of_two_devices_are_not_mixed(device):
    with pytest.raises(RuntimeError, match="same device"):
        torch.ones(2, device=device) + torch.ones(2)
    with pytest.raises(RuntimeError):
        nn.Linear(2, 2).to(device)(torch.ones(1, 2))
    assert (torch.ones(2, device=device) * torch.tensor(2.0)).sum() == 4  # but for scalars


def test_numpy_cannot_read_it(device):
    with pytest.raises(TypeError, match="convert"):
        torch.ones(2, device=device).numpy()


def test_it_has_generators_of_its_own(device):
    torch.manual_seed(1)
    host = torch.get_rng_state()
    first = torch.rand(3, device=device)
    assert torch.equal(torch.get_rng_state(), host)
    state = generator_state(device)
    second = torch.rand(3, device=device)
    assert set_generator_state(device, state)
    assert torch.equal(torch.rand(3, device=device), second)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3, device=device), first)
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(2, generator=torch.Generator(), device=device)
    host = torch.get_rng_state()
    functions = (
        lambda x: torch.dropout(x, 0.5, True), torch.bernoulli, torch.rand_like, torch.randn_like,
        lambda x: torch.dropout(x.requires_grad_(), 0.5, True),
    )  # fmt: skip
    for function in functions:
        assert not torch.equal(*(function(torch.full((99,), 0.5, device=device)) for _ in range(2)))
    assert torch.equal(torch.get_rng_state(), host)
    own = torch.Generator(device=device).manual_seed(2)
    assert torch.rand(2, generator=own, device=device).device == device


def test_a_fused_optimiser_counts_on_the_device(device):
    weight = nn.Parameter(torch.ones(2, device=device))
    optimizer = torch.optim.AdamW([weight], fused=True)
    weight.sum().backward()
    optimizer.step()
    assert optimizer.state[weight]["step"].device == device
    optimizer.state[weight]["step"] = torch.tensor(1.0)
    with pytest.raises(RuntimeError):
        optimizer.step()


def test_every_wait_is_seen(device, waits):
    values, host = torch.rand(4, device=device), torch.rand(4)
    ready = pinned(host, device)
    assert ready.is_pinned() and pinned(ready, device) is ready
    torch.zeros(1, device=device)
    for what in (
        lambda: values.sum().item(),
        lambda: bool(values.sum() > 0),
        lambda: values.tolist(),
        lambda: values.cpu(),
        lambda: values.nonzero(),
        lambda: values[values > 0],
        lambda: host.to(device),
        lambda: torch.tensor([1, 2], device=device),
        lambda: ready.to(device),
        *([lambda: values.softmax(0).multinomial(1)] if device.type == pretended.NAME else []),
    ):
        with waits() as found:
            what()
        assert found
    with waits() as found:
        ready.to(device, non_blocking=True)
        upload(host, device)
        values[torch.tensor([0, 1])]  # an index of the host is uploaded, from ordinary memory
        (values * 2).exp().masked_fill(values > 0, 1.0).topk(2)
        torch.full((3,), 1.0, device=device)
    assert len(found) <= 1


@pytest.mark.usefixtures("only_pretended")
def test_recurrent_kernels_have_the_rules_of_cudnn(device):
    layer = nn.GRU(3, 4, 2).to(device)
    inputs = torch.rand(5, 2, 3, device=device)
    with pytest.raises(RuntimeError, match="not contiguous"):
        layer(inputs, torch.rand(2, 2, 4, device=device).transpose(0, 1))
    with pytest.raises(RuntimeError, match="training mode"):
        layer.eval()(inputs)[0].sum().backward()
    with torch.no_grad():
        layer(inputs)
    with pytest.raises(RuntimeError, match="bfloat16"), torch.autocast("gpu", torch.bfloat16):
        layer(inputs)
    data, hidden = torch.rand(5, 3, device=device), torch.zeros(2, 3, 4, device=device)
    rest = (hidden, layer._flat_weights, True, 2, 0.0, False, False)
    torch.gru(data, torch.tensor([3, 2]), *rest)
    with pytest.raises(RuntimeError, match="falling"):
        torch.gru(data, torch.tensor([2, 3]), *rest)
    with pytest.raises(RuntimeError, match="CPU"):
        torch.gru(data, torch.tensor([3, 2], device=device), *rest)


@pytest.mark.usefixtures("only_pretended")
def test_without_a_compiler_there_is_none(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr("torch.utils.cpp_extension.get_cxx_compiler", lambda: "no-such-compiler")
    with pytest.raises(pretended.Unavailable, match="no-such-compiler"):
        pretended._register()
