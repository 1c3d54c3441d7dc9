"""The classification networks of torchvision without their heads, with weights from any source."""

from __future__ import annotations

import difflib
import os
import pickle
import re
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import GoogLeNet, Inception3

from captioning.weight_names import matched, signs_of, tensors_in
from common.errors import UserError, one_line
from common.files import expanded
from common.progress import draws
from common.runs.weights import check_same_architecture

# Children of torchvision's networks that come after the grid: pooling, classifier, auxiliary heads.
_HEAD = frozenset(
    ["avgpool", "flatten", "dropout", "fc", "classifier", "head", "heads"]
    + ["aux1", "aux2", "AuxLogits"]
)

# Which weights are likely given for those of another network.
_USUAL = frozenset(
    [
        "alexnet",
        "convnext_tiny",
        "densenet121",
        "efficientnet_b0",
        "mobilenet_v2",
        "mobilenet_v3_large",
    ]
    + ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg16", "vgg19"]
)


def backbone_names() -> list[str]:
    """The networks of torchvision that `Backbone` takes."""
    names = torchvision.models.list_models(module=torchvision.models)
    return [name for name in names if not name.startswith("vit_")]


def headless_network(name: str, weights: str | os.PathLike[str]) -> nn.Module:
    """A network of torchvision without the layers after its grid of features.

    Args:
        name: the network's name in torchvision.
        weights: "imagenet", one of its weights by name, "none" (random), or the path of a state dict.

    Raises:
        UserError: unknown network or weights; a failed download; weights of another network.
    """
    check_network(name)
    known = torchvision.models.get_model_weights(name).__members__
    if weights == "imagenet" or weights in known:
        network = _downloaded(name, "DEFAULT" if weights == "imagenet" else str(weights))
    else:
        # Inception's own initialisation takes half a minute, and is overwritten by the weights.
        slow = name in ("googlenet", "inception_v3")
        options = {"init_weights": False, "aux_logits": False} if slow else {}
        network = torchvision.models.get_model(name, weights=None, **options)
    children = [child for child, _ in network.named_children()]
    for child in _HEAD.intersection(children):
        delattr(network, child)
    if isinstance(network, (GoogLeNet, Inception3)):
        network.transform_input = True  # as with ImageNet's weights; harmless without
    if weights not in ("imagenet", "none", *known):
        _load(name, network, children, expanded(weights))
    return network


def check_network(name: str) -> None:
    """Refuse the name of a network that cannot be used, by a `UserError`."""
    if name not in backbone_names():
        close = difflib.get_close_matches(name, backbone_names(), n=3)
        hint = f"Did you mean {' or '.join(close)}?" if close else "resnet50, for example, is."
        raise UserError(
            f"{name!r} is no classification network of torchvision with a grid of features (vit_* are "
            f"transformers with a class token). {hint}"
        )


def _downloaded(name: str, weights: str) -> nn.Module:
    choice = torchvision.models.get_model_weights(name)[weights]
    try:
        return torchvision.models.get_model(name, weights=choice, progress=draws())
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        cache = Path(torch.hub.get_dir()) / "checkpoints" / choice.url.rsplit("/", 1)[-1]
        raise UserError(
            f"the ImageNet weights of {name} could not be loaded ({one_line(error)}). Download "
            f"{choice.url} elsewhere and put it at {cache}, or give the path of a state dict."
        ) from None


def _load(name: str, network: nn.Module, children: list[str], path: Path) -> None:
    """Load a state dict strictly, but for the head, which was removed from the network."""
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such file of weights. Give imagenet, none, or the path of one."
        )
    expected = network.state_dict()
    # Counters of batches are optional in state dicts, and without effect on anything.
    kept = OrderedDict((n, w) for n, w in expected.items() if n.endswith("num_batches_tracked"))
    weights = _state_dict(path)
    found = matched(weights, expected, children)
    kept |= {n: w for n, w in found.items() if n.split(".")[0] not in _HEAD}
    if odd := [n for n, w in kept.items() if not _is_plain(w)]:
        raise UserError(
            f"{path}: {odd[0]} is sparse, quantised, complex, or without values. Save the state dict "
            "of a network of float weights."
        )
    try:
        check_same_architecture(path, kept, network)
    except UserError as error:
        raise UserError(f"{error} It was to fit {name}; {_what_it_is(name, weights)}.") from None
    for weight, each in kept.items():
        real = each.is_floating_point() == expected[weight].is_floating_point()
        if not real or not each.float().isfinite().all():
            raise UserError(
                f"{path}: {weight} has values that are {'not finite' if real else each.dtype}. Fetch "
                "the weights again, or save them as floats."
            )
    kept._metadata = expected._metadata  # type: ignore[attr-defined]
    network.load_state_dict(kept)


def _what_it_is(name: str, weights: dict[str, Tensor]) -> str:
    """Which network of torchvision has these weights: one of the same family, or a usual one."""
    family = re.split(r"[\d_]", name)[0]
    for each in backbone_names():
        if each == name or not (each.startswith(family) or each in _USUAL):
            continue
        # On the meta device, where it costs no memory; some cannot be built there.
        with suppress(NotImplementedError), torch.device("meta"):
            network = torchvision.models.get_model(each, weights=None)
            children = [child for child, _ in network.named_children()]
            expected = {
                n: w for n, w in network.state_dict().items() if n.split(".")[0] not in _HEAD
            }
            found = matched(weights, expected, children)
            if all(
                n in found and found[n].shape == w.shape
                for n, w in expected.items()
                if not n.endswith("num_batches_tracked")
            ):
                return f"it looks like {each}"
    return signs_of(weights)


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor's values are there, one after the other, and real."""
    dense = tensor.layout == torch.strided and not tensor.is_quantized
    return dense and not (tensor.is_meta or tensor.is_nested or tensor.is_complex())


def _state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names there."""
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # PyTorch's own message advises to load the file unsafely.
        raise UserError(
            f"{path} is damaged, or holds more than tensors, which is not safe to load. Save a "
            "network's state_dict(), with torch.save or as safetensors; of a checkpoint of Lightning, "
            'its "state_dict" alone.'
        ) from None
    except Exception as error:  # damaged bytes make the readers raise almost anything
        raise UserError(f"{path} is damaged, or no state dict: {one_line(error)}.") from None
    weights = {} if _nameless(content) else tensors_in(content)
    if not weights:
        raise UserError(f"{path} is no state dict: it must map names to tensors.")
    # DenseNet's published weights have names of 2017: "norm.1" for "norm1".
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
    return {old.sub(r"\1\2", name): each for name, each in weights.items()}


def _nameless(content: Any) -> bool:
    return isinstance(content, dict) and not all(isinstance(name, str) for name in content)
