"""Weights of another model: all or some parts, rows by their tokens, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from common.errors import UserError
from common.training.initial_weights import OtherArchitecture, start_from


class Counter(nn.Module):
    """Counts, and has no weights."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(count))


class Model(nn.Module):
    """Parts with weights, buffers, tied weights, and one without weights."""

    def __init__(
        self, words: int, size: int = 4, *, tied: bool = True, count: int | None = 0
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, size), nn.BatchNorm1d(size))
        self.decoder = nn.ModuleDict({"embedding": nn.Embedding(words, size)})
        self.decoder["output"] = nn.Linear(size, words)
        if tied:
            self.decoder["output"].weight = self.decoder["embedding"].weight
        if count is not None:
            self.counter = Counter(count)
        self.encoder[1].running_mean.normal_()


ROWS = ("decoder.embedding.weight", "decoder.output.weight", "decoder.output.bias")
HERE, THERE = ["<pad>", "a", "new", "b"], ["<pad>", "b", "gone", "a", "old"]


def rows(here=HERE, there=THERE):
    return dict.fromkeys(ROWS, (here, there))


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_all_weights_are_taken_and_nothing_that_only_counts():
    model, other = Model(4), Model(4, count=7)
    assert start_from(model, other, where="runs/a") == (
        "begins with the weights of runs/a: encoder, decoder"
    )
    for name, tensor in other.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor) == (name != "counter.count")
    assert model.decoder["output"].weight is model.decoder["embedding"].weight
    start_from(Model(4), Model(4, count=None))
    start_from(Model(4, count=None), Model(4))


@pytest.mark.parametrize("tied", [True, False])
def test_rows_go_by_their_tokens_and_the_others_stay_new(tied):
    model, other = Model(4, tied=tied), Model(5, tied=tied)
    before = state(model)
    said = start_from(model, state(other), tokens=rows(), where="runs/a")
    assert said.endswith(
        "(3 of 4 rows of decoder.embedding, decoder.output; the other tokens are new to it)"
    )
    for name in ROWS:
        found, theirs = model.state_dict()[name], other.state_dict()[name]
        assert torch.equal(found[[0, 1, 3]], theirs[[0, 3, 1]])
        assert torch.equal(found[2], before[name][2])
    assert said != start_from(model, other, tokens=rows(), parts=["decoder"], where="runs/a")


def test_parts_are_taken_alone():
    for part, left in (("encoder", "decoder"), ("decoder", "encoder")):
        model, other = Model(4), Model(4)
        before = state(model)
        assert start_from(model, other, [part]).endswith(
            f": {part}; {left} begins anew (--init-parts)"
        )
        for name, tensor in model.state_dict().items():
            expected = other.state_dict() if name.startswith(part) else before
            assert torch.equal(tensor, expected[name]), name
    # Of the others neither the weights nor their sizes matter.
    start_from(Model(9), Model(4), ["encoder"])
    with pytest.raises(
        UserError, match="--init-parts head: the parts of this model are encoder, deco"
    ):
        start_from(Model(4), Model(4), ["head"])


def changed(change) -> dict[str, torch.Tensor]:
    weights = state(Model(4))
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Model(4, 5), r"encoder.0.weight is \(5, 3\) there and \(4, 3\) here; .* and 5 more\."),
        (Model(5), r"decoder.embedding.weight is \(5, 4\) there and \(4, 4\) here"),
        (changed(lambda w: w.pop("encoder.0.bias")), r"it has no encoder.0.bias\."),
        (changed(lambda w: w.update({"decoder.x": w[ROWS[0]]})), "it has decoder.x, unknown here"),
        (Model(4, tied=False), "decoder.embedding.weight and decoder.output.weight are one here, and"),
        (
            changed(lambda w: w.update({ROWS[2]: w[ROWS[2]].to_sparse()})),
            "decoder.output.bias is not stored plainly",
        ),
    ],
    ids=["size", "vocabulary", "missing", "unknown", "tied", "sparse"],
)  # fmt: skip
def test_another_architecture_is_refused_and_nothing_is_changed(other, message):
    model = Model(4)
    before = state(model)
    with pytest.raises(
        OtherArchitecture, match=f"^runs/a has another architecture: {message}"
    ) as error:
        start_from(model, other, where="runs/a")
    assert "\n" not in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_tokens_that_are_not_those_of_the_rows_are_refused():
    with pytest.raises(OtherArchitecture, match=r"decoder.embedding.weight is \(5, 4\) there"):
        start_from(Model(4), Model(5), tokens=rows(HERE, THERE[:4]))
    with pytest.raises(UserError, match="^w: decoder.output.bias is not finite"):
        weights = changed(lambda w: w[ROWS[2]].fill_(torch.inf))
        start_from(Model(4), weights, where="w")
    start_from(Model(4), weights, ["encoder"])
    untied = start_from(
        Model(4, tied=False), Model(4)
    )  # the same function, from now on of two matrices
    assert untied.endswith("encoder, decoder")
