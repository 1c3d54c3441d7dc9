"""Networks and weights: those that exist are read however they were saved; others say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from captioning.backbone import Backbone
from common.errors import UserError
from tests.captioning.networks import pictures


def small() -> nn.Module:
    return torchvision.models.squeezenet1_1(num_classes=7)


def wrapped(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("variant", ["plain", "headless", "parallel", "nested", "safetensors"])
def test_weights_are_read_however_they_were_saved(tmp_path: Path, variant: str) -> None:
    network = small()
    state = network.state_dict()
    path = tmp_path / ("w.safetensors" if variant == "safetensors" else "w.pth")
    if variant == "safetensors":
        save_file(state, path)
    elif variant == "headless":
        torch.save(network.features.state_dict(prefix="features."), path)
    elif variant == "parallel":
        torch.save(wrapped(state, "module."), path)
    elif variant == "nested":
        torch.save({"epoch": 3, "state_dict": wrapped(state, "_orig_mod.module.")}, path)
    else:
        torch.save(state, path)
    backbone = Backbone("squeezenet1_1", weights=path).double()
    images = pictures().double()
    with torch.no_grad():
        expected = network.double().features(images).flatten(2).transpose(1, 2)
        torch.testing.assert_close(backbone(images), expected)


def test_densenet_weights_with_the_names_of_2017_are_read(tmp_path: Path) -> None:
    backbone = Backbone("densenet121")
    old = {}
    for name, tensor in backbone.network.state_dict().items():
        for part in ("norm", "conv"):
            name = name.replace(f".{part}1.", f".{part}.1.").replace(f".{part}2.", f".{part}.2.")
        if not name.endswith("num_batches_tracked"):
            old[name] = tensor
    torch.save(old, tmp_path / "densenet.pth")
    again = Backbone("densenet121", weights=str(tmp_path / "densenet.pth"))
    assert again.digest == backbone.digest


@pytest.mark.parametrize("damage", ["missing", "shape", "unknown"])
def test_weights_of_another_network_name_the_first_mismatch(tmp_path: Path, damage: str) -> None:
    state = dict(small().state_dict())
    name = "features.0.weight"
    if damage == "missing":
        del state[name]
    elif damage == "shape":
        state[name] = state[name][:5]
    else:
        name = "features.99.weight"
        state[name] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"w.pth is a checkpoint of another architecture: .*{name}"):
        Backbone("squeezenet1_1", weights=tmp_path / "w.pth")


class Hostile:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


@pytest.mark.parametrize("content", ["text", "empty", "truncated", "code", "list", "numbers"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_state_dict_gets_one_line(
    tmp_path: Path, content: str, suffix: str
) -> None:
    path = tmp_path / f"w{suffix}"
    if content == "text":
        path.write_text("hello")
    elif content == "empty":
        path.touch()
    elif content == "truncated":
        torch.save(small().state_dict(), path)
        path.write_bytes(path.read_bytes()[:5000])
    else:
        values = {"code": {"a": Hostile()}, "list": [1], "numbers": {"a": 1}}
        torch.save(values[content], path)
    with pytest.raises(UserError) as caught:
        Backbone("squeezenet1_1", weights=path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


ODD = {
    "sparse": Tensor.to_sparse,
    "quantised": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "without values": lambda tensor: tensor.to("meta"),
    "not finite": lambda tensor: tensor * float("nan"),
    "int8": lambda tensor: tensor.to(torch.int8),
}


@pytest.mark.filterwarnings("ignore")  # of what is odd
@pytest.mark.parametrize("what", ODD)
def test_weights_that_are_no_plain_floats_are_refused_by_name(tmp_path: Path, what: str) -> None:
    state = small().state_dict()
    name = "features.0.bias"
    torch.save({**state, name: ODD[what](state[name])}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=rf"w\.pth: {name} .*{what}"):
        Backbone("squeezenet1_1", weights=tmp_path / "w.pth")


def test_weights_without_names_are_refused(tmp_path: Path) -> None:
    torch.save({7: torch.zeros(1), **small().state_dict()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth is no state dict"):
        Backbone("squeezenet1_1", weights=tmp_path / "w.pth")


def test_a_missing_file_of_weights_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file of weights"):
        Backbone("squeezenet1_1", weights=tmp_path / "nothing.pth")


def test_imagenet_weights_without_a_network_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(
        UserError, match=r"Download https://.*squeezenet1_1.* put it at .*\.pth"
    ) as e:
        Backbone("squeezenet1_1", weights="imagenet")
    assert str(tmp_path) in str(e.value)
