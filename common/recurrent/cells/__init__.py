"""One time step of a recurrent network: the cells of the field, and the contract for new ones."""

from functools import partial

from common.recurrent.cells.cell import ALL, WEIGHTS, Cell, CellFactory, make_cell
from common.recurrent.cells.cornn import CoRNNCell
from common.recurrent.cells.gru import GRUCell, LayerNormGRUCell
from common.recurrent.cells.indrnn import IndRNNCell
from common.recurrent.cells.lem import LEMCell
from common.recurrent.cells.linear import HGRNCell, LinearCell, MinGRUCell, MinLSTMCell
from common.recurrent.cells.lstm import (
    CoupledLSTMCell,
    JANETCell,
    LayerNormLSTMCell,
    LSTMCell,
    PeepholeLSTMCell,
)
from common.recurrent.cells.mgu import MGUCell
from common.recurrent.cells.simple import SimpleRNNCell

NAMED: dict[str, CellFactory] = {
    "gru_cho": partial(GRUCell, reset_after=False),
    "gru_layer_norm": LayerNormGRUCell,
    "lstm_coupled": CoupledLSTMCell,
    "lstm_layer_norm": LayerNormLSTMCell,
    "lstm_peephole": PeepholeLSTMCell,
    "cornn": CoRNNCell,
    "hgrn": HGRNCell,
    "indrnn": IndRNNCell,
    "janet": JANETCell,
    "lem": LEMCell,
    "mgu": MGUCell,
    "mingru": MinGRUCell,
    "minlstm": MinLSTMCell,
}
"""The cells of `CellName` that run on our own loops."""

__all__ = [
    "ALL",
    "NAMED",
    "WEIGHTS",
    "Cell",
    "CellFactory",
    "CoRNNCell",
    "CoupledLSTMCell",
    "GRUCell",
    "HGRNCell",
    "IndRNNCell",
    "JANETCell",
    "LEMCell",
    "LSTMCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LinearCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "PeepholeLSTMCell",
    "SimpleRNNCell",
    "make_cell",
]
