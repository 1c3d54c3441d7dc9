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


PREFIXES = [
    *(
        "model.",
        "module.",
        "backbone.",
        "encoder.",
        "net.",
        "cnn.resnet.",
        "model.module.backbone.",
    ),
    *("_orig_mod.", "model._orig_mod.", "encoder.cnn.network."),
]


def more(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What else a checkpoint has."""
    other = {"decoder.lstm.weight_ih_l0": torch.ones(3), "encoder.linear.weight": torch.ones(2, 2)}
    return {"decoder.embedding.weight": torch.ones(9, 2)} | state | other


@pytest.mark.parametrize(
    ("prefix", "head"),
    [
        *zip(["", *PREFIXES], 9 * ["its own", "none", "another", "elsewhere"], strict=False),
        ("", "none"),
    ],
)
def test_weights_are_found_behind_any_prefix(tmp_path: Path, prefix: str, head: str) -> None:
    network = small()
    state = {n: w for n, w in network.state_dict().items() if head == "its own" or "features" in n}
    if head == "another":
        state |= {
            "classifier.1.weight": torch.ones(3, 512, 1, 1),
            "classifier.9.bias": torch.ones(2),
        }
    state = more(wrapped(state, prefix))
    if head == "elsewhere":
        state["head.weight"] = torch.ones(5)
    torch.save(
        {"epoch": 3, "optimizer": {"state": {0: torch.ones(1)}}, "net": state}, tmp_path / "w.pt"
    )
    torch.save(state, tmp_path / "flat.pt")
    for name in ("w.pt", "flat.pt"):
        found = Backbone("squeezenet1_1", weights=tmp_path / name).network.state_dict()
        assert all(torch.equal(w, network.state_dict()[n]) for n, w in found.items()) and found


@pytest.mark.parametrize("cut", [-1, -2, None])
def test_weights_of_a_sequence_of_the_children_are_found(tmp_path: Path, cut: int | None) -> None:
    """As captioners do: `nn.Sequential(*list(resnet.children())[:-2])`."""
    network = torchvision.models.resnet18()
    sequence = nn.Sequential(*list(network.children())[:cut])
    torch.save(wrapped(sequence.state_dict(), "encoder.resnet."), tmp_path / "w.pth")
    found = Backbone("resnet18", weights=tmp_path / "w.pth").network.state_dict()
    assert all(torch.equal(w, network.state_dict()[n]) for n, w in found.items())


def test_weights_of_the_features_alone_are_found(tmp_path: Path) -> None:
    network = small()
    torch.save(network.features.state_dict(), tmp_path / "features.pth")
    torch.save(wrapped(network.features.state_dict(), "cnn."), tmp_path / "cnn.pth")
    for name in ("features.pth", "cnn.pth"):
        found = Backbone("squeezenet1_1", weights=tmp_path / name).network.state_dict()
        assert all(torch.equal(w, network.state_dict()[n]) for n, w in found.items())


def test_a_checkpoint_of_lightning_is_read_without_running_it(tmp_path: Path) -> None:
    network = small()
    state = wrapped(network.state_dict(), "model.backbone.")
    content = {
        "epoch": 1,
        "pytorch-lightning_version": "2.1",
        "state_dict": state,
        "loops": {"a": [1]},
    }
    torch.save(content, tmp_path / "w.ckpt")
    found = Backbone("squeezenet1_1", weights=tmp_path / "w.ckpt").network.state_dict()
    assert all(torch.equal(w, network.state_dict()[n]) for n, w in found.items())
    torch.save({**content, "hyper_parameters": Hostile()}, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match=r"not safe to load.*Lightning"):
        Backbone("squeezenet1_1", weights=tmp_path / "w.ckpt")


def test_of_two_copies_the_first_is_taken(tmp_path: Path) -> None:
    network, ema = small(), small()
    torch.save({"model": network.state_dict(), "ema": ema.state_dict()}, tmp_path / "w.pth")
    found = Backbone("squeezenet1_1", weights=tmp_path / "w.pth").network.state_dict()
    assert all(torch.equal(w, network.state_dict()[n]) for n, w in found.items())


@pytest.mark.parametrize(
    ("names", "looks"),
    [
        (lambda: torchvision.models.resnet34().state_dict(), "resnet18; it looks like resnet34"),
        (lambda: torchvision.models.mobilenet_v2().state_dict(prefix="net."), "mobilenet_v2"),
        (lambda: {"visual.transformer.resblocks.0.ln_1.weight": torch.ones(2)}, "CLIP"),
        (lambda: {"conv_stem.weight": torch.ones(2)}, "timm"),
        (lambda: {"decoder.lstm.weight": torch.ones(2)}, "its names are decoder.lstm.weight"),
    ],
)
def test_weights_that_fit_nothing_say_what_they_look_like(tmp_path, names, looks) -> None:
    torch.save(names(), tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=rf"w\.pth is a checkpoint of another.*to fit.*{looks}"
    ) as raised:
        Backbone("resnet18", weights=tmp_path / "w.pth")
    assert "\n" not in str(raised.value)


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
