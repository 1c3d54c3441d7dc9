"""The cells that the tests of the core share."""

from __future__ import annotations

from functools import partial

from torch import nn

from common.recurrent import (
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
}
