"""A model that begins with the weights of another: all of them or those of some parts, and those of a
vocabulary's tokens by the tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from common.compute.device import to_host
from common.errors import UserError
from common.runs.weights import check_finite, load_state_dict

TokenRows: TypeAlias = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""The tokens of the rows of weights, by name: those here, and those of the other model."""
SHOWN = 3  # tensors that a message names


class OtherArchitecture(UserError):
    """The weights of the other model do not fit."""


def start_from(
    model: nn.Module,
    other: nn.Module | Mapping[str, Tensor],
    parts: Collection[str] = (),
    tokens: TokenRows | None = None,
    where: str = "the other model",
) -> str:
    """Put the weights of another model into a new one, all or none.

        start_from(model, trained, parts=["encoder"])

    A row of a token that the other model does not know stays as it is, and so do the parts that are not
    taken. What has no weights, as a count of updates, is no part.

    Args:
        model: on any device.
        other: the model, or its state dict.
        parts: names of children of the model that are taken; () for all.
        tokens: which weights have a row for each token. All others are as many as in the other model.
        where: what the other model is called in messages: its run.

    Returns:
        What was taken, in one line.

    Raises:
        OtherArchitecture: a weight is missing or unknown there, or of another shape.
        UserError: there is no such part, or a weight is not finite.
    """
    tokens = tokens or {}
    theirs = to_host(dict(other.state_dict() if isinstance(other, nn.Module) else other))
    ours = to_host(model.state_dict())
    learnt = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    known = dict.fromkeys(map(_part, learnt))
    if unknown := [each for each in parts if each not in known]:
        raise UserError(
            f"--init-parts {' '.join(unknown)}: the parts of this model are {', '.join(known)}."
        )
    taken = [part for part in known if not parts or part in parts]
    _check(ours, theirs, taken, tokens, where)
    _check_tied(model, theirs, taken, where)
    counts: dict[tuple[int, int], list[str]] = {}
    for name in filter(lambda name: _part(name) in taken, list(ours)):
        check_finite(where, name, theirs[name], name in learnt)
        if name not in tokens:
            ours[name] = theirs[name]
            continue
        here, there = tokens[name]
        rows, sources = _shared(here, there)
        mixed = ours[name].clone()
        mixed[rows] = theirs[name][sources].to(mixed.dtype)
        ours[name] = mixed
        counts.setdefault((len(rows), len(here)), []).append(name)
    load_state_dict(model, ours)
    return _summary(taken, [each for each in known if each not in taken], counts, where)


def _part(name: str) -> str:
    return name.partition(".")[0]


def _shared(here: Sequence[str], there: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The rows of the tokens that both have: here, and there."""
    places = {token: row for row, token in enumerate(there)}
    pairs = [(row, places[token]) for row, token in enumerate(here) if token in places]
    rows = torch.tensor(pairs, dtype=torch.long).view(-1, 2)
    return rows[:, 0], rows[:, 1]


def _check(
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    taken: Collection[str],
    tokens: TokenRows,
    where: str,
) -> None:
    """Refuse weights of another architecture; the message names the first that differ."""
    problems = []
    for name in dict.fromkeys([*ours, *theirs]):
        if _part(name) not in taken:
            continue
        if name not in theirs:
            problems.append(f"it has no {name}")
        elif name not in ours:
            problems.append(f"it has {name}, unknown here")
        else:
            here, there = tuple(ours[name].shape), tuple(theirs[name].shape)
            if name in tokens:  # the numbers of tokens may differ, if they are those of the rows
                expected = tuple(map(len, tokens[name]))
                same = (here[:1], there[:1]) == tuple((each,) for each in expected)
                same = same and here[1:] == there[1:]
            else:
                same = here == there
            if not same:
                problems.append(f"{name} is {there} there and {here} here")
            elif theirs[name].layout != ours[name].layout or theirs[name].is_quantized:
                problems.append(f"{name} is not stored plainly")
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise OtherArchitecture(
            f"{where} has another architecture: {'; '.join(problems[:SHOWN])}{more}."
        )


def _check_tied(
    model: nn.Module, theirs: Mapping[str, Tensor], taken: Collection[str], where: str
) -> None:
    """Refuse two weights there for what is one here: one of them would be lost."""
    first: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        before = first.setdefault(id(parameter), name)
        if before == name or not {_part(before), _part(name)} <= set(taken):
            continue
        one, two = theirs[before], theirs[name]
        if one.shape != two.shape or not torch.equal(one, two):
            raise OtherArchitecture(
                f"{where} has another architecture: {before} and {name} are one here, and two there."
            )


def _summary(
    taken: Sequence[str],
    left: Sequence[str],
    counts: Mapping[tuple[int, int], Sequence[str]],
    where: str,
) -> str:
    text = f"begins with the weights of {where}: {', '.join(taken)}"
    for (rows, size), names in counts.items():
        of = ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in names))
        new = "; the other tokens are new to it" if rows < size else ""
        text += f" ({rows:,} of {size:,} rows of {of}{new})"
    return text + (f"; {', '.join(left)} begins anew (--init-parts)" if left else "")
