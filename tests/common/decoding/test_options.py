"""Options: what is asked for is what is built, and what does not go together is refused."""

from __future__ import annotations

import pytest
import torch

from common.decoding.options import DecoderOptions, SearchOptions
from common.errors import UserError


def test_decoder_options_that_do_not_go_together_are_one_line():
    with pytest.raises(UserError, match="do not go together"):
        DecoderOptions(inject=(), attention="none").build(10, 4, None)
    decoder = DecoderOptions(cell="gru_cho", embedding_size=8, hidden_size=8).build(10, 4, None)
    assert not any("kernel" in name for name in decoder.state_dict())  # its own cell, our scan


def test_recurrent_weights_begin_as_asked_for():
    options = DecoderOptions(initialization="orthogonal", cell="lstm", hidden_size=8)
    weights = dict(options.build(10, 8, 8).recurrent.named_parameters())
    gate = weights["kernel.weight_hh_l0"][:8]
    torch.testing.assert_close(gate @ gate.T, torch.eye(8))
    assert weights["kernel.bias_ih_l0"][8:16].tolist() == [1.0] * 8  # an open forget gate
    with pytest.raises(UserError, match="do not go together: identity"):
        DecoderOptions(initialization="identity", cell="lstm").build(10, 8, 8)


def test_search_options_that_do_not_go_together_are_one_line():
    message = "--min-length must lie between 0 and --max-length .40., not at 50"
    with pytest.raises(UserError, match=message):
        SearchOptions(min_length=50, max_length=40).strategy()


@pytest.mark.parametrize(
    "values",
    [
        {"beam_size": 10**11}, {"max_length": 10**30}, {"length_penalty": 1e30},
        {"beam_patience": float("inf")}, {"search": "sampling", "num_samples": 10**9},
    ],
    ids=str,
)  # fmt: skip
def test_a_search_that_no_machine_holds_is_refused(values):
    name = list(values)[-1].replace("_", "-")
    with pytest.raises(UserError, match=rf"\A--{name} must be at most [\d,]+, not [^\n]*\Z"):
        SearchOptions(**values).strategy()
    with pytest.raises(UserError, match=r"\Aconfig.json: "):
        SearchOptions(**values).strategy("config.json")
