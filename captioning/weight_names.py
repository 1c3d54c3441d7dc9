"""The names of weights in files of others, matched with those of a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

# Parts of names by which networks that torchvision does not have are known.
_SIGNS = {
    "visual.transformer": "CLIP's transformer",
    "vision_model.": "a vision model of Hugging Face's transformers",
    "patch_embeddings.": "a vision transformer of Hugging Face's transformers",
    "embedder.": "a network of Hugging Face's transformers",
    "patch_embed.": "a vision transformer of timm",
    "class_token": "a vision transformer",
    "cls_token": "a vision transformer",
    "conv_stem.": "a network of timm",
    "stages.": "a network of timm",
    "attnpool.": "a network of CLIP",
    "rpn.": "a detector",
}


def tensors_in(content: Any, depth: int = 4) -> dict[str, Tensor]:
    """The tensors of nested dicts, named by the keys on the way to them, with dots between."""
    found: dict[str, Tensor] = {}
    for name, value in content.items() if isinstance(content, Mapping) else ():
        if not isinstance(name, str):
            continue  # the state of an optimiser
        if isinstance(value, Tensor):
            found[name] = value
        elif depth:
            inside = tensors_in(value, depth - 1)
            found |= {f"{name}.{each}": tensor for each, tensor in inside.items()}
    return found


def matched(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], children: Sequence[str]
) -> dict[str, Tensor]:
    """The weights under the network's own names.

    What stands before all of them is left out: `module.`, `model.backbone.`, the key of a dict around
    them. They may be those of `network.features` alone, or of `nn.Sequential(*network.children())`,
    where numbers stand for names. Of several copies, the one with most is taken, the first of equals.

    Args:
        weights: by their names in the file.
        expected: those of the network.
        children: of the network, in order, the head among them.

    Returns:
        Those that were found, also in other shapes; and those of a child of the network that it does
        not know. Where no name fits, all of them as they are.
    """
    best: tuple[int, str, dict[str, str]] = (0, "", {})
    for known in _spellings(expected, children):
        counts = Counter[str]()
        for name, tensor in weights.items():
            for prefix, rest in _endings(name):
                if rest in known:
                    counts[prefix] += 1 + (tensor.shape == expected[known[rest]].shape)
        for prefix, count in counts.most_common(1):
            best = max(best, (count, prefix, known), key=lambda each: each[0])
    count, prefix, known = best
    if not count:
        return dict(weights)
    inside = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
    roots = {name.split(".")[0] for name in known}
    return {known.get(n, n): w for n, w in inside.items() if n.split(".")[0] in roots}


def _endings(name: str) -> list[tuple[str, str]]:
    """The name cut at each dot: what stands before, and the rest."""
    cuts = [0, *(place + 1 for place, sign in enumerate(name) if sign == ".")]
    return [(name[:cut], name[cut:]) for cut in cuts]


def _spellings(expected: Mapping[str, Tensor], children: Sequence[str]) -> list[dict[str, str]]:
    """How files may call the weights of a network: names there to names here."""
    found = [{name: name for name in expected}]
    places = {child: str(number) for number, child in enumerate(children)}
    parts = {name: name.partition(".") for name in expected}
    found.append({f"{places.get(a, a)}{dot}{rest}": name for name, (a, dot, rest) in parts.items()})
    if len({first for first, _, _ in parts.values()}) == 1:
        found.append({rest: name for name, (_, _, rest) in parts.items()})
    return found


def signs_of(weights: Mapping[str, Tensor]) -> str:
    """What a file looks like by the names in it; else the first of these."""
    for sign, what in _SIGNS.items():
        if any(f".{name}".find(f".{sign}") >= 0 for name in weights):
            return f"it looks like {what}"
    return f"its names are {', '.join(list(weights)[:3])}, ..."
