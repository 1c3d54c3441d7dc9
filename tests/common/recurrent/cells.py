"""The cells that the tests of the core share."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from torch import nn

from common.recurrent import (
    Cell,
    CoRNNCell,
    CoupledLSTMCell,
    GRUCell,
    HGRNCell,
    IndRNNCell,
    JANETCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LEMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    MinLSTMCell,
    PeepholeLSTMCell,
    SimpleRNNCell,
)

README = Path(__file__).parents[3] / "experiments" / "README.md"


def cell_of_the_readme() -> type[Cell]:
    """The cell of one's own that the README shows how to write."""
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (block,) = (each for each in blocks if "class UpdateGateCell" in each)
    names: dict = {"__name__": __name__}
    exec(block, names)
    return names["UpdateGateCell"]


UpdateGateCell = cell_of_the_readme()  # where pickle finds it

STANDARD = {
    "rnn": (nn.RNN, SimpleRNNCell),
    "rnn_relu": (partial(nn.RNN, nonlinearity="relu"), partial(SimpleRNNCell, nonlinearity="relu")),
    "lstm": (nn.LSTM, LSTMCell),
    "gru": (nn.GRU, GRUCell),
}
CELLS = {name: cell for name, (_, cell) in STANDARD.items()} | {
    "gru_reset_before": partial(GRUCell, reset_after=False),
    "layer_norm_lstm": LayerNormLSTMCell,
    "layer_norm_gru": LayerNormGRUCell,
    "peephole_lstm": PeepholeLSTMCell,
    "coupled_lstm": CoupledLSTMCell,
    "janet": JANETCell,
    "mgu": MGUCell,
    "indrnn": IndRNNCell,
    "cornn": CoRNNCell,
    "lem": LEMCell,
    "min_gru": MinGRUCell,
    "min_lstm": MinLSTMCell,
    "hgrn": partial(HGRNCell, lower_bound=0.25),
    "of_the_readme": UpdateGateCell,
}
